"""Types of fields in JSON bodies: strict, with the exceptions that some clients need."""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, ValidationInfo, WithJsonSchema

from rerank_service.encoding.content_parts import text_of_parts
from rerank_service.errors import InvalidRequest


def _unwrap_text(value: Any) -> Any:
    if isinstance(value, dict) and "text" in value:
        return value["text"]
    text = text_of_parts(value)
    return value if text is None else text


def one_as_list(value: Any) -> Any:
    """Return a list of the text if the value is one text, as vLLM accepts it in place of a list."""
    return [value] if isinstance(value, str) else value


def _word_as_bool(value: Any) -> Any:
    return {"true": True, "false": False}.get(value.lower(), value) if isinstance(value, str) else value


def _whole_as_int(value: Any) -> Any:
    """Return 2 for 2.0: JSON has only one type of number."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _at_most_32_bits(value: Any) -> Any:
    """Return the largest integer of 32 bits for a larger one: callers send the largest of their language for "all"."""
    number = _whole_as_int(value)
    return min(number, _MAX_INT) if type(number) is int else number


QUERY_SCHEMA: dict[str, Any] = {"type": "string", "minLength": 1}
"""Schema of a query as a string."""
_PART_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"type": {"const": "text"}, "text": QUERY_SCHEMA},
    "required": ["type", "text"],
}
_PARTS_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"content": {"type": "array", "items": _PART_SCHEMA, "minItems": 1}},
    "required": ["content"],
    "additionalProperties": False,
}
Text = Annotated[
    str,
    BeforeValidator(_unwrap_text),
    WithJsonSchema(
        {
            "anyOf": [
                QUERY_SCHEMA,
                {"type": "object", "properties": {"text": QUERY_SCHEMA}, "required": ["text"]},
                _PARTS_SCHEMA,
            ]
        }
    ),
]
"""A string, `{"text": string}`, or vLLM's `{"content": [{"type": "text", "text": string}]}`."""

Strings = Annotated[list[str], Field(fail_fast=True)]
"""A list of strings. Its check ends at the first wrong item: a body may have a million of them."""

Flag = Annotated[bool | None, BeforeValidator(_word_as_bool)]
"""A boolean, or the string "true" or "false" in upper or lower case: RAGFlow sends the string "true"."""

_MAX_INT = 2**31 - 1
_Capped = BeforeValidator(_at_most_32_bits)

Limit = Annotated[int, Field(ge=0), _Capped]
"""An integer from 0. 0 has the meaning of null (docs/decisions/0027-neutral-values.md)."""
Size = Annotated[int, Field(ge=0), _Capped]
"""An integer from 0. 0 is a value like any other."""
PairTokens = Annotated[int, Field(ge=-1), _Capped]
"""An integer from -1."""
EmptyObject = Annotated[dict[str, Any], Field(max_length=0)]
"""The object `{}`."""
Priority = Annotated[int, Field(ge=-(2**31), lt=2**31), BeforeValidator(_whole_as_int)]
"""An integer of 32 bits."""

_OBJECT = {"type": "object", "not": {"additionalProperties": {"type": "null"}}}
"""Schema of an object document: at least one value is not null."""

TEXTS_SCHEMA: dict[str, Any] = {"type": "array", "items": {"type": "string"}, "minItems": 1}
"""Schema of strings."""
DOCUMENTS_SCHEMA: dict[str, Any] = {"type": "array", "items": {"anyOf": [{"type": "string"}, _OBJECT]}, "minItems": 1}
"""Schema of strings and objects."""
Documents = Annotated[list[Any], WithJsonSchema(DOCUMENTS_SCHEMA)]
"""Strings and objects. Each document is checked later, when its text is read."""
OneOrMoreDocuments = Annotated[
    list[Any],
    BeforeValidator(one_as_list),
    WithJsonSchema({"anyOf": [DOCUMENTS_SCHEMA, {"type": "string"}]}),
]
"""As `Documents`, or one string.

One object is an error: PHP writes a list with gaps as an object, and versions of vLLM take the parts of
`{"content": [...]}` for one document or for several.
"""


def ranked_by_fields(documents: str) -> dict[str, Any]:
    """Return the part of a body's schema that relates `rank_fields` to the objects in the field `documents`.

    With `rank_fields`, each object must have one of these fields. JSON Schema cannot express this for any field name,
    so the schema describes the field `text` only. The server accepts others too.
    """
    items = [{"type": "string"}, {"type": "object", "required": ["text"], "properties": {"text": {"type": "string"}}}]
    of_strings = {"properties": {documents: {"items": {"type": "string"}}}}
    of_texts = {
        "properties": {"rank_fields": {"contains": {"const": "text"}}, documents: {"items": {"anyOf": items}}},
    }
    selects = {"required": ["rank_fields"], "properties": {"rank_fields": {"type": "array", "minItems": 1}}}
    return {"if": selects, "then": {"anyOf": [of_strings, of_texts]}}


def only(*allowed: Any, rule: str, name: str = "") -> BeforeValidator:
    """Return a validator for an unsupported field: it accepts null and the values that do not change the result.

    Args:
        allowed: the accepted values.
        rule: the message for any other value, without the name of the field.
        name: the client's name of the field, if it differs from the attribute.
    """

    def check(value: Any, info: ValidationInfo) -> Any:
        if value is None or any(type(value) is type(other) and value == other for other in allowed):
            return value
        field = name or info.field_name
        raise InvalidRequest(f"{field} {rule}", field=field, reason="unsupported")

    return BeforeValidator(check)
