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

Count = Annotated[int, Field(ge=1)]

Priority = Annotated[int, Field(ge=-(2**31), lt=2**31)]

Documents = Annotated[
    list[Any],
    WithJsonSchema(
        {
            "type": "array",
            "items": {
                "anyOf": [
                    {"type": "string"},
                    {"type": "object", "additionalProperties": {"type": "string"}, "minProperties": 1},
                ]
            },
            "minItems": 1,
        }
    ),
]
"""Strings and objects; which of them say nothing is told when they are read."""


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
