"""Reading a JSON body's fields, whichever dialect it is of: strict types, null wherever a field may be left out."""

from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, ValidationInfo, WithJsonSchema

from rerank_service.errors import InvalidRequest

CONFIG = ConfigDict(strict=True, extra="ignore", frozen=True, use_attribute_docstrings=True, protected_namespaces=())
"""Of bodies, and of objects in them."""


def _unwrap_text(value: Any) -> Any:
    return value["text"] if isinstance(value, dict) and "text" in value else value


def _word_as_bool(value: Any) -> Any:
    return {"true": True, "false": False}.get(value.lower(), value) if isinstance(value, str) else value


def _whole_as_int(value: Any) -> Any:
    """2.0 is an integer to JSON, which has one kind of number."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Text = Annotated[
    str,
    BeforeValidator(_unwrap_text),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "minLength": 1},
                {"type": "object", "properties": {"text": {"type": "string", "minLength": 1}}, "required": ["text"]},
            ]
        }
    ),
]
"""A string, or `{"text": string}`."""

Flag = Annotated[bool | None, BeforeValidator(_word_as_bool)]
"""A boolean or its name, in any case: RAGFlow sends the string "true"."""

_Whole = BeforeValidator(_whole_as_int)

Count = Annotated[int, Field(ge=1, lt=2**31), _Whole]
Size = Annotated[int, Field(ge=0, lt=2**31), _Whole]
Priority = Annotated[int, Field(ge=-(2**31), lt=2**31), _Whole]

_OBJECT = {"type": "object", "not": {"additionalProperties": {"type": "null"}}}
"""With a value that is not null: one without any says nothing."""

Documents = Annotated[
    list[Any],
    WithJsonSchema({"type": "array", "items": {"anyOf": [{"type": "string"}, _OBJECT]}, "minItems": 1}),
]
"""Strings and objects; which of them say nothing is told when they are read."""


def ranked_by_fields(documents: str) -> dict[str, Any]:
    """Part of a body's schema: with `rank_fields`, each object has one of them. JSON Schema has no words for that, so
    it tells of the field `text`; objects with others are taken as well."""
    items = [{"type": "string"}, {"type": "object", "required": ["text"], "properties": {"text": {"type": "string"}}}]
    of_strings = {"properties": {documents: {"items": {"type": "string"}}}}
    of_texts = {
        "properties": {"rank_fields": {"contains": {"const": "text"}}, documents: {"items": {"anyOf": items}}},
    }
    selects = {"required": ["rank_fields"], "properties": {"rank_fields": {"type": "array", "minItems": 1}}}
    return {"if": selects, "then": {"anyOf": [of_strings, of_texts]}}


def only(*harmless: Any, why: str) -> BeforeValidator:
    """For a field that would change the result, and that we do not do: taken with values that ask for nothing."""

    def check(value: Any, info: ValidationInfo) -> Any:
        if value is None or any(type(value) is type(one) and value == one for one in harmless):
            return value
        raise InvalidRequest(f"{info.field_name} {why}", field=info.field_name, reason="unsupported")

    return BeforeValidator(check)


class JsonBody(BaseModel):
    """What is read of a body; unknown keys are ignored."""

    model_config = CONFIG

    model: str | None = None
    """The model's name or an alias; absent, null, empty and "default" mean the model served."""

    @classmethod
    def read(cls, body: Mapping[str, Any]) -> Self:
        """The fields of a body. Raises InvalidRequest, which names the field."""
        try:
            return cls.model_validate(body)
        except ValidationError as error:
            raise _invalid(error) from error


def _invalid(error: ValidationError) -> InvalidRequest:
    first = error.errors(include_url=False)[0]
    field = _written(first["loc"])
    if first["type"] == "missing":
        return InvalidRequest(f"{field} is required", field=field, reason="missing")
    message = first["msg"].removeprefix("Input should be ")
    return InvalidRequest(f"{field} must be {message}", field=field, reason="invalid")


def _written(place: tuple[int | str, ...]) -> str:
    """`parameters.top_n`, `rank_fields[0]`."""
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in place)
    return "".join(parts).removeprefix(".")
