"""Print docs/reference/openapi.md, generated from the OpenAPI page of the REST application: `make docs`."""

import json
from collections.abc import Iterator, Mapping
from types import SimpleNamespace
from typing import Any, cast

from rerank_service.api.http.app import openapi_page
from rerank_service.api.http.dialects.look_up import ServerFacts
from rerank_service.settings import Settings
from rerank_service.wiring import request_limits

_INTRODUCTION = """# REST

Paths, fields and errors of the REST API. This page is generated from the OpenAPI page of the server by `make docs`. A
running server shows its own at `/docs`, and as JSON at `/openapi.json`.

- **More paths.** [JSON dialects](../dialects.md) lists all paths. Many of them are aliases; this page shows one of each
  kind.
- **Selection.** If a path has several requests, the keys of the body select one.
- **Deadline, id, key.** Every request may have the headers `X-Request-Timeout`, `X-Request-Id` and an API key
  ([clients](../clients.md#deadlines-keys-and-request-ids)).
- **Instructions and calibrated scores.** The page describes a model that supports both. For another model, these values
  are errors.
"""
_REF = "#/components/schemas/"
_SUCCESS = ("200", "204")  # statuses of an operation that did what it was asked for


def _facts() -> ServerFacts:
    """Return the facts about a server whose model supports all options."""
    model = cast("Any", SimpleNamespace(calibration="platt"))
    return ServerFacts(
        models=[model],
        find=lambda _: model,
        limits=request_limits(Settings()),
        takes_instruction=True,
        key_required=True,
        ready=True,
    )


def page() -> str:
    """Return the page: paths, errors, and a table for each type."""
    document = json.loads(openapi_page(_facts).encoded())
    schemas = document["components"]["schemas"]
    return "\n".join([_INTRODUCTION, *_paths(document), *_errors(document), *_types(schemas)]).rstrip()


def _operations(document: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            yield path, method.upper(), operation


def _paths(document: Mapping[str, Any]) -> Iterator[str]:
    yield "## Paths\n\n| path | purpose | request | response |\n|---|---|---|---|"
    for path, method, operation in _operations(document):
        request = _schema_of(operation.get("requestBody", {}))
        succeeded = next(response for status, response in operation["responses"].items() if status in _SUCCESS)
        response = _schema_of(succeeded)
        yield f"| `{method} {path}` | {operation['summary']} | {request} | {response} |"
    yield "\nExamples of requests:\n"
    for path, method, operation in _operations(document):
        content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
        for example in content.get("examples", {}).values():
            yield f"`{method} {path}`\n\n```json\n{json.dumps(example['value'], ensure_ascii=False)}\n```\n"


def _errors(document: Mapping[str, Any]) -> Iterator[str]:
    """Return the table of the statuses, each with the types of its bodies."""
    meanings: dict[str, str] = {}
    bodies: dict[str, set[str]] = {}
    for _, _, operation in _operations(document):
        for status, response in operation["responses"].items():
            if status not in _SUCCESS:
                meanings[status] = response["description"]
                bodies.setdefault(status, set()).update(_schema_of(response).split(" or "))
    yield "## Errors\n\n| status | meaning | body |\n|---|---|---|"
    for status, meaning in sorted(meanings.items()):
        yield f"| {status} | {meaning} | {', '.join(sorted(bodies[status]))} |"
    yield ""


def _types(schemas: Mapping[str, Any]) -> Iterator[str]:
    yield "## Types\n"
    for name, schema in sorted(schemas.items()):
        yield f"### {name}\n\n{_text(schema)}\n"
        if not schema.get("properties"):
            continue
        yield "| field | type | meaning |\n|---|---|---|"
        for field, described in schema["properties"].items():
            required = " (required)" if field in schema.get("required", ()) else ""
            yield f"| `{field}` | {_type(described)}{required} | {_text(described)} |"
        yield ""


def _text(schema: Mapping[str, Any]) -> str:
    return " ".join(str(schema.get("description", "")).split()).replace("|", "\\|").replace("<", "&lt;")


def _schema_of(message: Mapping[str, Any]) -> str:
    schema = message.get("content", {}).get("application/json", {}).get("schema")
    return _type(schema) if schema else ""


def _type(schema: Mapping[str, Any]) -> str:
    """Return the type of a field, such as "string or null"."""
    for key in ("anyOf", "oneOf"):
        if key in schema:
            return " or ".join(dict.fromkeys(_type(part) for part in schema[key]))
    if "$ref" in schema:
        name = schema["$ref"].removeprefix(_REF)
        return f"[{name}](#{name.lower()})"
    if "enum" in schema or "const" in schema:
        values = schema.get("enum", [schema.get("const")])
        return " or ".join(f"`{json.dumps(value)}`" for value in values)
    kinds = schema.get("type", "any")
    if kinds == "array":
        return f"list of {_type(schema.get('items', {}))}"
    shown = " or ".join(kinds) if isinstance(kinds, list) else str(kinds)
    return shown + _bounds(schema)


def _bounds(schema: Mapping[str, Any]) -> str:
    """Return the bounds of a number, such as " from 1"."""
    least, most = schema.get("minimum"), schema.get("maximum")
    above = schema.get("exclusiveMinimum")
    words = [f" from {least:,}" if least is not None else "", f" above {above:,}" if above is not None else ""]
    return "".join([*words, f" to {most:,}" if most is not None else ""])


if __name__ == "__main__":
    print(page())
