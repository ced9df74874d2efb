"""Fields of an entry in a models file: their values, and messages about wrong ones."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    TypeAdapter,
    ValidationError,
)
from pydantic_core import PydanticCustomError

from rerank_service.engine.kinds import Precision, Provider
from rerank_service.error_text import excerpt
from rerank_service.model_names import MAX_NAME_CHARS, is_model_name
from rerank_service.models.catalog.entry import Load
from rerank_service.suggestion import suggestion
from rerank_service.yaml_entries import Entries

_YEAR = 365 * 24 * 60 * 60
_MAX_COUNT = 2**31 - 1
_MAX_PROBLEMS = 5
"""Maximum number of problems in one message."""
_NO_FIELD = ("invalid_key", "model_type")
"""Types of errors about a whole entry."""


def _given(value: object) -> object:
    """Reject null: an empty line after `lanes:` is a mistake."""
    if value is None:
        raise PydanticCustomError("null", "has no value")
    return value


def _clean(name: str) -> str:
    if not is_model_name(name):
        raise PydanticCustomError("name", "is no name")
    return name


_Name = Annotated[str, StringConstraints(min_length=1, max_length=MAX_NAME_CHARS), AfterValidator(_clean)]
_Given = BeforeValidator(_given)
_ByName = Field(strict=False)
"""Takes the value of an enum, such as `cpu`."""


class EntryFields(BaseModel):
    """An entry of a models file. `ModelEntry` describes the fields."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    bundle: Annotated[str, StringConstraints(min_length=1)]
    name: Annotated[_Name | None, _Given] = None
    aliases: Annotated[list[_Name], _Given] = []
    provider: Annotated[Provider, _ByName] = Provider.AUTO
    precision: Annotated[Precision, _ByName] = Precision.AUTO
    lanes: Annotated[int | None, Field(ge=1, le=1024), _Given] = None
    weight: Annotated[float, Field(ge=0.01, le=100)] = 1.0
    max_live_documents: Annotated[int | None, Field(ge=1, le=_MAX_COUNT), _Given] = None
    max_live_tokens: Annotated[int | None, Field(ge=1, le=_MAX_COUNT), _Given] = None
    load: Annotated[Load, _ByName] = Load.START
    unload_after: Annotated[float | None, Field(gt=0, le=_YEAR), _Given] = None
    digest: Annotated[str | None, StringConstraints(pattern=r"^[0-9a-fA-F]{64}$"), _Given] = None


_ENTRIES = TypeAdapter(Annotated[list[EntryFields], Field(min_length=1)])
_COUNT = f"a whole number from 1 to {_MAX_COUNT:,}"
_NAME = (
    f"1 to {MAX_NAME_CHARS} printable characters, without spaces at the ends (in quotes, if YAML reads it as a number)"
)


def _one_of(values: Mapping[str, object]) -> str:
    *others, last = values
    return f"{', '.join(others)} or {last}"


ALLOWED = {
    "bundle": "the path of a model folder, or starter",
    "name": _NAME,
    "aliases": f"a list of names, each with {_NAME}",
    "provider": _one_of(Provider._value2member_map_),
    "precision": _one_of(Precision._value2member_map_),
    "lanes": "a whole number from 1 to 1,024",
    "weight": "a number from 0.01 to 100",
    "max_live_documents": _COUNT,
    "max_live_tokens": _COUNT,
    "load": _one_of(Load._value2member_map_),
    "unload_after": f"seconds, above 0 and at most {_YEAR:,}",
    "digest": "64 hexadecimal digits, as `rerank models --wide` shows them",
}
"""The values that each field may have."""


def entries_of(values: object) -> list[EntryFields]:
    """Return the entries of a parsed file.

    Raises:
        ValidationError: a value is wrong; `problems` describes it.
    """
    return _ENTRIES.validate_python(values)


def problems(content: Entries, error: ValidationError) -> str:
    """Describe the first errors of a file. Each error about an entry begins with its line."""
    details = error.errors(include_url=False, include_context=False)
    found = sorted({_problem(content, each) for each in details})
    texts = [f"line {line}: {text}" if line else text for line, text in found[:_MAX_PROBLEMS]]
    more = [f"{len(found) - _MAX_PROBLEMS} more"] if len(found) > _MAX_PROBLEMS else []
    return "; ".join((*texts, *more))


def _problem(content: Entries, error: Any) -> tuple[int, str]:
    """Return the line of a problem, or 0, and its description."""
    match error["loc"]:
        case (int(number), str(name), *parts) if error["type"] not in _NO_FIELD:
            return content.line(number, name), _field_problem(name, error, of_part=bool(parts))
        case (int(number), *_):
            return content.line(number), "must be a model, with the field bundle and others"
        case _ if error["type"] == "too_short":
            return 0, "has no model: add one"
        case _:
            return 0, "must be a list of models, each with the field bundle"


def _field_problem(name: str, error: Any, *, of_part: bool) -> str:
    if error["type"] == "missing":
        return f"{name} is missing: give {ALLOWED[name]}"
    if error["type"] == "extra_forbidden":
        nearest = suggestion(excerpt(name), ALLOWED)
        fields = f"{'The' if nearest else 'the'} fields are {', '.join(ALLOWED)}"
        return f"the field {excerpt(name)!r} is unknown{nearest or ':'} {fields}"
    if error["type"] == "null":
        return f"{name} has no value: give {ALLOWED[name]}, or remove the line"
    return f"{name} {'has' if of_part else 'is'} {_shown(error['input'])}: give {ALLOWED[name]}"


def _shown(value: object) -> str:
    """Return a value for a message. A list may contain itself, and the digits of an integer may be too many."""
    match value:
        case str():
            return repr(excerpt(value))
        case None:
            return "empty"
        case bool():
            return str(value).lower()
        case float():
            return f"{value:g}"
        case int():
            return f"{value}" if abs(value) < 10**30 else "a huge number"
        case list() | tuple() | set():
            return "a list"
        case dict():
            return "a mapping"
        case _:
            return f"a {type(value).__name__}"
