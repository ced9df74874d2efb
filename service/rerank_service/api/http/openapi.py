"""The OpenAPI description of the dialects' paths: what is sent and what comes back on each, whoever sends it.

It is made when somebody asks for it, since a start should not wait for it.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import deepcopy
from functools import cache
from typing import Any

from fastapi import FastAPI
from pydantic import TypeAdapter
from pydantic.json_schema import JsonSchemaMode

from rerank_service.api.http.dialects import Dialect, LookUp, ServerFacts
from rerank_service.api.http.errors import ErrorBody
from rerank_service.ranking.scores import ScoreType

_HOW = (
    "A deadline may be given in seconds by the header `X-Request-Timeout`, a name for the request by `X-Request-Id`, "
    "a key by `Authorization: Bearer KEY`, `X-Api-Key` or `Api-Key`."
)
_MEANINGS = {
    400: "A field is wrong; it is named",
    401: "No key, or a wrong one",
    404: "No such model",
    413: "The body is too large",
    422: "A field is wrong",
    424: "The model failed on a text",
    429: "Too much is waiting; `retry-after` says when to come back",
    500: "The model failed, or the server did",
    503: "Loading or draining; `retry-after` says when to come back",
    504: "The time was over",
}
_RETRY_AFTER = {"retry-after": {"description": "Seconds", "schema": {"type": "integer"}}}
_REF = "#/components/schemas/{model}"


def described(
    app: FastAPI,
    spoken: Mapping[str, Sequence[Dialect]],
    look_ups: Iterable[LookUp],
    facts: Callable[[], ServerFacts],
) -> Callable[[], dict[str, Any]]:
    """What `app.openapi` is to be: what FastAPI knows of the application, and what is spoken on its paths.

    Args:
        app: the application.
        spoken: the dialects that are shown, by path.
        look_ups: what is asked by GET.
        facts: what is served at the moment.
    """
    known = app.openapi

    @cache
    def page(*, keys_asked: bool, takes_instruction: bool, calibrated: bool) -> dict[str, Any]:
        made = deepcopy(known())
        made.setdefault("components", {})["schemas"] = schemas = _Schemas()
        for path, dialects in spoken.items():
            made["paths"][path]["post"] |= _ranking(dialects, schemas)
        for one in look_ups:
            made["paths"][one.path.replace(":path", "")]["get"] |= _look_up(one, schemas)
        schemas.limit(takes_instruction=takes_instruction, calibrated=calibrated)
        if keys_asked:
            made["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
            for operation in _guarded(made, look_ups):
                operation["security"] = [{"key": []}]
        return made

    def openapi() -> dict[str, Any]:
        now = facts()
        calibrated = bool(now.models and now.models[0].calibration)
        return page(keys_asked=now.keys_asked, takes_instruction=now.takes_instruction, calibrated=calibrated)

    return openapi


class _Schemas(dict[str, Any]):
    """The page's schemas by name, which grow as they are referred to."""

    def any_of(self, types: Iterable[Any], mode: JsonSchemaMode = "serialization") -> dict[str, Any]:
        """The schema of what is of one of these types."""
        schemas = [self._of(kind, mode) for kind in types]
        return schemas[0] if len(schemas) == 1 else {"anyOf": schemas}

    def _of(self, kind: Any, mode: JsonSchemaMode) -> dict[str, Any]:
        """A reference where the type has a name, else its schema."""
        schema = TypeAdapter(kind).json_schema(mode=mode, ref_template=_REF)
        self |= schema.pop("$defs", {})
        if "title" not in schema:
            return schema
        self[schema["title"]] = schema
        return {"$ref": _REF.format(model=schema["title"])}

    def limit(self, *, takes_instruction: bool, calibrated: bool) -> None:
        """Take out what the model served does not do."""
        for fields in (schema.get("properties", {}) for schema in self.values()):
            for name in fields.keys() & {"instruction", "instruct"} if not takes_instruction else ():
                fields[name] = {"type": ["string", "null"], "maxLength": 0, "description": "The model takes none."}
            if not calibrated and "score_type" in fields:
                fields["score_type"]["anyOf"][0]["enum"].remove(ScoreType.CALIBRATED.value)


def _ranking(dialects: Sequence[Dialect], schemas: _Schemas) -> dict[str, Any]:
    """The operation on a path where these dialects are spoken."""
    errors = sorted({status for one in dialects for status in one.errors})
    body = {
        "schema": schemas.any_of((one.request for one in dialects), "validation"),
        "examples": {type(one).__name__: {"value": one.example} for one in dialects},
    }
    return {
        "summary": "Rank documents",
        "description": _HOW,
        "tags": ["rerank"],
        "requestBody": {"required": True, "content": {"application/json": body}},
        "responses": {
            "200": _content("The ranking", schemas.any_of(one.response for one in dialects)),
            **{str(status): _error(status, schemas.any_of(_on(dialects, status))) for status in errors},
        },
    }


def _look_up(one: LookUp, schemas: _Schemas) -> dict[str, Any]:
    named = "{" in one.path
    errors = {503: ErrorBody, **({} if one.public else {401: ErrorBody}), **({404: ErrorBody} if named else {})}
    parameter = {"name": "model", "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
    return {
        "summary": one.summary,
        "tags": ["server"],
        "parameters": [parameter] if named else [],
        "responses": {
            "200": _content("What is asked", schemas.any_of([one.response])),
            **{
                str(status): _error(status, schemas.any_of([kind])) for status, kind in {**errors, **one.errors}.items()
            },
        },
    }


def _on(dialects: Iterable[Dialect], status: int) -> list[Any]:
    """The types of an error's body where each of the dialects is spoken, each once."""
    return list({id(kind): kind for one in dialects if (kind := one.errors.get(status))}.values())


def _guarded(page: dict[str, Any], look_ups: Iterable[LookUp]) -> list[dict[str, Any]]:
    """The operations that need a key."""
    asked = {one.path.replace(":path", "") for one in look_ups if not one.public}
    return [
        operation
        for path, operations in page["paths"].items()
        for method, operation in operations.items()
        if method == "post" or path in asked
    ]


def _error(status: int, schema: dict[str, Any]) -> dict[str, Any]:
    told = _content(_MEANINGS[status], schema)
    return told | {"headers": _RETRY_AFTER} if status in (429, 503) else told


def _content(description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": schema}}}
