"""File of API keys with names and weights, such as a mounted Kubernetes Secret.

Rule: no error quotes the content of the file, because any part of it may be a key.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import orjson
import yaml
from pydantic import BaseModel, ConfigDict, Field, SecretStr, StringConstraints, TypeAdapter, ValidationError

from rerank_service.api.auth import Caller, KnownKey, digest
from rerank_service.errors import SettingsInvalid

_EMPTY_KEY = digest("")
_WORDS = {
    "missing": "is missing",
    "string_type": "must be text (YAML reads digits without quotes as a number: put them in quotes)",
    "string_pattern_mismatch": "has invalid characters or a wrong length",
    "extra_forbidden": "has an unknown field: the fields are name, key, sha256 and weight",
    "model_type": "must be an entry with name and either key or sha256",
    "list_type": "must be a list of entries, each with name and either key or sha256",
    "invalid_key": "has a field whose name is not text",
    **dict.fromkeys(("float_type", "greater_than_equal", "less_than_equal"), "must be a number from 0.01 to 100"),
    "too_short": "has no entry: add one, or unset --api-keys-file to require no key",
}
"""Messages by the type of a pydantic error."""
_UNKNOWN_FIELDS = ("extra_forbidden", "invalid_key")
"""Types of errors about the name of a field, which may be a key by mistake."""


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)

    name: Annotated[str, StringConstraints(pattern=r"^[\w.@/-]{1,64}$")]
    key: SecretStr | None = None
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-fA-F]{64}$")] | None = None
    weight: Annotated[float, Field(ge=0.01, le=100)] = 1.0


_ENTRIES = TypeAdapter(Annotated[list[_Entry], Field(min_length=1)])


def read_keys(path: Path) -> list[KnownKey]:
    """Return the keys in a YAML or JSON file: a list of entries with `name`, either `key` or `sha256`, and `weight`.

    `name` has 1 to 64 characters, `weight` is 0.01 to 100 (default 1).

    Raises:
        SettingsInvalid: the file cannot be read, or an entry is wrong. The message has the number of the entry.
    """
    try:
        entries = _ENTRIES.validate_python(_parsed(path.read_bytes()))
    except OSError as error:
        raise _refusal(path, f"cannot be read: {error.strerror}") from None
    except ValidationError as error:
        raise _refusal(path, "; ".join(map(_complaint, error.errors(include_input=False)))) from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: an invalid date
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise _refusal(path, f"is neither YAML nor JSON{where}") from None
    known = [_known(path, number, entry) for number, entry in enumerate(entries, 1)]
    _check_unique(path, "name", [entry.name for entry in entries])
    _check_unique(path, "key", [key.digest for key in known])
    return known


def _parsed(content: bytes) -> Any:
    """Parse JSON, else YAML. YAML is nearly a superset of JSON, but allows no tabs."""
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError:
        return yaml.safe_load(content)


def _known(path: Path, number: int, entry: _Entry) -> KnownKey:
    if (entry.key is None) == (entry.sha256 is None):
        raise _refusal(path, f"entry {number}: set either key or sha256, not both")
    if entry.key is not None:
        key = entry.key.get_secret_value()
        if not key or not all("!" <= char <= "~" for char in key):
            raise _refusal(path, f"entry {number}: key must have visible ASCII characters only, and at least one")
        kept = digest(key)
    else:
        kept = bytes.fromhex(entry.sha256 or "")
    if kept == _EMPTY_KEY:
        raise _refusal(path, f"entry {number}: sha256 is the hash of an empty key")
    return KnownKey(kept, Caller(entry.name, entry.weight))


def _check_unique(path: Path, what: str, values: Sequence[object]) -> None:
    for number, value in enumerate(values, 1):
        if (first := values.index(value) + 1) != number:
            raise _refusal(path, f"entry {number}: has the same {what} as entry {first}")


def _complaint(error: Any) -> str:
    """Return the message for a pydantic error. It omits the name of an unknown field."""
    place, words = list(error["loc"]), _WORDS.get(error["type"], error["msg"])
    if error["type"] in _UNKNOWN_FIELDS:
        place.pop()
    entry = f"entry {place[0] + 1}: " if place else ""
    return " ".join([f"{entry}{'.'.join(map(str, place[1:]))}".rstrip(), words]).lstrip()


def _refusal(path: Path, why: str) -> SettingsInvalid:
    return SettingsInvalid(f"--api-keys-file {path}: {why}")
