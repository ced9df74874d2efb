"""JSON bodies: read their fields, and name the field that is invalid."""

import json
from collections.abc import Mapping
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError, with_config

from rerank_service.api.http.misspelled_fields import nearest_field
from rerank_service.errors import InvalidRequest
from rerank_service.json_types import json_type

CONFIG = ConfigDict(strict=True, extra="ignore", frozen=True, use_attribute_docstrings=True, protected_namespaces=())
"""Configuration of bodies, and of objects in bodies."""

documented = with_config(ConfigDict(use_attribute_docstrings=True))
"""Decorator of a TypedDict: the docstrings of its fields are their descriptions on the OpenAPI page."""

_MESSAGES = {"model_type": "an object", "dict_type": "an object"}
"""Texts in place of those of pydantic that have names of Python, by the type of the error."""


class JsonBody(BaseModel):
    """The known fields of a request body. Unknown fields are ignored."""

    model_config = CONFIG

    model: str | None = None
    """Name or alias of a model. Absent, null, "" and "default" mean the served model."""

    @classmethod
    def read(cls, body: Mapping[str, Any]) -> Self:
        """Return the fields of a body.

        Raises:
            InvalidRequest: a field is missing or invalid. The error names the field.
        """
        try:
            return cls.model_validate(body)
        except ValidationError as error:
            raise _invalid(error, body) from error


def _invalid(error: ValidationError, body: Mapping[str, Any]) -> InvalidRequest:
    first = error.errors(include_url=False)[0]
    field = _path(first["loc"])
    if first["type"] == "missing":
        sent = nearest_field(body, field)
        hint = f": rename {sent}" if sent else ""
        return InvalidRequest(f"{field} is required{hint}", field=field, reason="missing")
    message = _MESSAGES.get(first["type"]) or first["msg"].removeprefix("Input should be ")
    value = "" if first["type"] == "literal_error" else f", not {_shown(first['input'])}"
    return InvalidRequest(f"{field} must be {message}{value}", field=field, reason="invalid")


def _shown(value: Any) -> str:
    """Return a number or a boolean as JSON, and the type of any other value: errors are logged, texts must not be."""
    return json.dumps(value) if isinstance(value, bool | int | float) else json_type(value)


def _path(location: tuple[int | str, ...]) -> str:
    """Return the path of a field, such as `parameters.top_n` or `rank_fields[0]`."""
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return "".join(parts).removeprefix(".")
