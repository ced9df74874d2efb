"""Valid bodies of a dialect: its example with other texts and lengths, and optional fields by its schema."""

from copy import deepcopy
from functools import cache
from random import Random
from typing import Any

from rerank_service.api.http.body import JsonBody
from rerank_service.api.http.dialects.contract import Dialect
from torture.values import TEXTS

_MAX_ITEMS = 12


def plain_body(rng: Random, dialect: Dialect) -> dict[str, Any]:
    """Return the example of a dialect with other texts, and more of them. The server must accept it."""
    body: dict[str, Any] = _varied(rng, deepcopy(dict(dialect.example)))
    return body


def full_body(rng: Random, dialect: Dialect) -> dict[str, Any]:
    """Return a plain body with some optional fields. Most are accepted."""
    body = plain_body(rng, dialect)
    schema = _schema(dialect.request_type)
    others = [name for name in schema["properties"] if name not in body]
    for name in rng.sample(others, min(len(others), rng.randrange(4))):
        body[name] = _valid(rng, schema["properties"][name], schema.get("$defs", {}))
    return body


def _varied(rng: Random, content: Any) -> Any:
    """Replace texts by words of the small model. A text is a string with blanks: others are names."""
    match content:
        case dict():
            return {name: _varied(rng, part) for name, part in content.items()}
        case [_, _, *_]:  # documents; a list of one may be a list of queries
            return [_varied(rng, deepcopy(rng.choice(content))) for _ in range(rng.randrange(1, _MAX_ITEMS))]
        case [only]:
            return [_varied(rng, only)]
        case str() if " " in content:
            return " ".join(str(rng.randrange(100)) for _ in range(rng.randrange(1, 40)))
        case _:
            return content


@cache
def _schema(body: type[JsonBody]) -> dict[str, Any]:
    return body.model_json_schema()


def _valid(rng: Random, schema: dict[str, Any], definitions: dict[str, Any]) -> Any:
    """Return a value that the schema allows, with exceptions that a server rejects."""
    if "$ref" in schema:
        return _valid(rng, definitions[schema["$ref"].rpartition("/")[2]], definitions)
    for choices in ("anyOf", "oneOf", "allOf"):
        if choices in schema:
            return _valid(rng, rng.choice(schema[choices]), definitions)
    if "enum" in schema:
        return rng.choice(schema["enum"])
    if "const" in schema:
        return schema["const"]
    kind = schema.get("type", "null")
    return _of_type(rng, rng.choice(kind) if isinstance(kind, list) else kind, schema, definitions)


def _of_type(rng: Random, kind: str, schema: dict[str, Any], definitions: dict[str, Any]) -> Any:
    match kind:
        case "object":
            fields = schema.get("properties", {})
            chosen = [name for name in fields if name in schema.get("required", ()) or rng.random() < 0.5]
            return {name: _valid(rng, fields[name], definitions) for name in chosen}
        case "array":
            items = schema.get("items", {"type": "string"})
            count = rng.randrange(schema.get("minItems", 0), schema.get("maxItems", 4) + 1)
            return [_valid(rng, items, definitions) for _ in range(count)]
        case "boolean":
            return rng.random() < 0.5
        case "integer":
            return rng.choice((0, 1, 2, 3, 10, 31, 32, 33, 2**31 - 1, schema.get("minimum", 0)))
        case "number":
            return rng.choice((0, 0.5, 1, -1, 1e308))
        case "string":
            return rng.choice(TEXTS)
        case _:
            return None
