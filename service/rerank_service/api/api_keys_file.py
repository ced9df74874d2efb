"""File of API keys with names, weights and limits, such as a mounted Kubernetes Secret.

Rule: no error quotes the content of the file, because any part of it may be a key.
"""

from collections.abc import Sequence
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    StringConstraints,
    TypeAdapter,
    ValidationError,
)
from pydantic_core import PydanticCustomError

from rerank_service.api.auth import KnownKey, digest
from rerank_service.errors import FileUnreadable, SettingsInvalid
from rerank_service.file_version import check_regular
from rerank_service.scheduling.caller import Caller
from rerank_service.scheduling.quota import KeyLimits
from rerank_service.settings_errors import wrong_value
from rerank_service.yaml_entries import Entries, read_entries, syntax_problem

_EMPTY_KEY = digest("")
_MISSING = "missing"
_UNKNOWN_FIELDS = ("extra_forbidden", "invalid_key")
"""Types of errors about the name of a field, which may be a key by mistake."""


def _given(value: object) -> object:
    """Reject null. An empty line after `expires:` must not mean a key without end, or without limit."""
    if value is None:
        raise PydanticCustomError("null", "must have a value")
    return value


def _expiry(value: object) -> object:
    """Return the time from which a key is rejected. A date is the last day of the key, in UTC."""
    try:
        if isinstance(value, str):
            value = datetime.fromisoformat(value.upper()) if ":" in value else date.fromisoformat(value)
        if isinstance(value, date) and not isinstance(value, datetime):
            value = datetime.combine(value, time.max, UTC)
    except ValueError:
        value = None
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise PydanticCustomError("expiry", "must be a time")
    return value


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)

    name: Annotated[str, StringConstraints(pattern=r"^[\w.@/-]{1,64}$")]
    key: SecretStr | None = None
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-fA-F]{64}$")] | None = None
    weight: Annotated[float, Field(ge=0.01, le=100)] = 1.0
    requests_per_second: Annotated[float | None, Field(ge=0.001, le=1e6), BeforeValidator(_given)] = None
    tokens_per_minute: Annotated[int | None, Field(ge=1, le=10**12), BeforeValidator(_given)] = None
    concurrent_requests: Annotated[int | None, Field(ge=1, le=10**6), BeforeValidator(_given)] = None
    models: Annotated[
        list[Annotated[str, StringConstraints(min_length=1)]] | None, Field(min_length=1), BeforeValidator(_given)
    ] = None
    expires: Annotated[datetime | None, BeforeValidator(_expiry)] = None
    admin: bool = False


_RULES = {
    "weight": "must be a number from 0.01 to 100",
    "requests_per_second": "must be a number from 0.001 to 1,000,000",
    "tokens_per_minute": "must be a whole number from 1 to 1,000,000,000,000",
    "concurrent_requests": "must be a whole number from 1 to 1,000,000",
    "models": "must be a list of model names, at least one",
    "expires": "must be a date, such as 2027-01-31, or a time with a time zone, such as 2027-01-31T12:00:00Z",
    "admin": "must be true or false",
}
"""The values that a field may have, for all errors about its value."""
_WORDS = {
    _MISSING: "is missing",
    "string_type": "must be text (YAML reads digits without quotes as a number: put them in quotes)",
    "string_pattern_mismatch": "has invalid characters or a wrong length",
    "extra_forbidden": f"has an unknown field: the fields are {', '.join(_Entry.model_fields)}",
    "model_type": "must be an entry with name and either key or sha256",
    "list_type": "the file must be a list of entries, each with name and either key or sha256",
    "invalid_key": "has a field whose name is not text",
    "too_short": "the file has no entry: add one, or unset --api-keys-file to require no key",
}
"""Messages by the type of a pydantic error."""
_MAX_BYTES = 16 * 2**20
"""Maximum size of the file. Its keys are read while requests wait."""
_ENTRIES = TypeAdapter(Annotated[list[_Entry], Field(min_length=1)])


def read_keys(path: Path, *, regular: bool = False) -> list[KnownKey]:
    """Return the keys in a YAML or JSON file, as docs/keys.md describes it.

    With `regular`, a FIFO is an error: a read of it would wait for its writer.

    Raises:
        FileUnreadable: the file cannot be read.
        SettingsInvalid: an entry is wrong. The message has the entry and the line.
    """
    try:
        if regular:
            check_regular(path)
        content = read_entries(_bytes(path))
        _check_fields_once(path, content)
        entries = _ENTRIES.validate_python(content.values)
    except OSError as error:
        why = f"the file cannot be read: {error.strerror}; give a readable file"
        raise FileUnreadable(wrong_value("api_keys_file", str(path), why)) from error
    except ValidationError as error:
        problems = error.errors(include_input=False)
        raise _refusal(path, "; ".join(_complaint(content, problem) for problem in problems)) from None
    except (yaml.YAMLError, ValueError) as error:  # ValueError: an invalid date, or too many levels
        raise _refusal(path, f"the file {syntax_problem(error)}: see docs/keys.md for its form") from None
    known = [_known(path, _place(content, number), entry) for number, entry in enumerate(entries)]
    _check_unique(path, content, "name", [entry.name for entry in entries])
    _check_unique(path, content, "key", [key.digest for key in known])
    return known


def _bytes(path: Path) -> bytes:
    with path.open("rb") as file:
        content = file.read(_MAX_BYTES + 1)
    if len(content) > _MAX_BYTES:
        raise _refusal(path, f"the file has more than {_MAX_BYTES >> 20} MiB, the maximum for a file of keys")
    return content


def _known(path: Path, place: str, entry: _Entry) -> KnownKey:
    if (entry.key is None) == (entry.sha256 is None):
        raise _refusal(path, f"{place}: set either key or sha256, not both")
    if entry.key is not None:
        key = entry.key.get_secret_value()
        if not key or not all("!" <= char <= "~" for char in key):
            raise _refusal(path, f"{place}: key must have visible ASCII characters only, and at least one")
        kept = digest(key)
    else:
        kept = bytes.fromhex(entry.sha256 or "")
    if kept == _EMPTY_KEY:
        raise _refusal(path, f"{place}: sha256 is the hash of an empty key")
    models = None if entry.models is None else frozenset(entry.models)
    limits = KeyLimits(
        requests_per_second=entry.requests_per_second,
        tokens_per_minute=entry.tokens_per_minute,
        concurrent_requests=entry.concurrent_requests,
    )
    return KnownKey(kept, Caller(entry.name, entry.weight, models, entry.admin), limits, entry.expires)


def _check_fields_once(path: Path, content: Entries) -> None:
    for number, name, line in content.duplicates():
        field = name if name in _Entry.model_fields else "a field"
        raise _refusal(path, f"entry {number + 1}, line {line}: has {field} twice")


def _check_unique(path: Path, content: Entries, what: str, values: Sequence[object]) -> None:
    places: dict[object, int] = {}
    for number, value in enumerate(values):
        if (first := places.setdefault(value, number)) != number:
            raise _refusal(path, f"{_place(content, number)}: has the same {what} as entry {first + 1}")


def _complaint(content: Entries, error: Any) -> str:
    """Return the message for a pydantic error. It omits the name of an unknown field."""
    location, kind = list(error["loc"]), error["type"]
    if not location:
        return _WORDS.get(kind, str(error["msg"]))
    number, *fields = location
    place = _place(content, number, *fields[:1])
    if kind in _UNKNOWN_FIELDS or not fields:
        return f"{place}: {_WORDS.get(kind, error['msg'])}"
    rule = _WORDS.get(kind) if kind == _MISSING else _RULES.get(fields[0]) or _WORDS.get(kind)
    return f"{place}: {fields[0]} {rule or error['msg']}"


def _place(content: Entries, number: int, field: object = None) -> str:
    """Return the place of a field for messages: `entry 2, line 5`. Numbers of entries count from 0 here."""
    return f"entry {number + 1}, line {content.line(number, field)}"


def _refusal(path: Path, why: str) -> SettingsInvalid:
    return SettingsInvalid(wrong_value("api_keys_file", str(path), why))
