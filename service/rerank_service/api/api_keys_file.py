"""API keys with names and weights, from a file as Kubernetes mounts a Secret.

Rule: no error quotes what the file holds, since that may be a key, wherever it stands.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import orjson
import yaml
from pydantic import BaseModel, ConfigDict, Field, SecretStr, StringConstraints, TypeAdapter, ValidationError

from rerank_service.api.auth import Caller, KnownKey, digest
from rerank_service.errors import SettingsInvalid

_NOTHING = digest("")
_WORDS = {
    "missing": "is missing",
    "string_type": "must be text (YAML takes bare digits for a number: put it in quotes)",
    "string_pattern_mismatch": "has characters that cannot be there, or too many or too few",
    "extra_forbidden": "has a field that is none of name, key, sha256, weight",
    "model_type": "must be an entry with a name and a key or its sha256",
    "list_type": "must be a list of entries, each with a name and a key or its sha256",
    "too_short": "holds no key, and would let nobody in",
}
"""What is wrong, in our words; pydantic's own are used for the rest, which speaks of numbers."""


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)

    name: Annotated[str, StringConstraints(pattern=r"^[\w.@/-]{1,64}$")]
    key: SecretStr | None = None
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-fA-F]{64}$")] | None = None
    weight: Annotated[float, Field(ge=0.01, le=100)] = 1.0


_ENTRIES = TypeAdapter(Annotated[list[_Entry], Field(min_length=1)])


def read_keys(path: Path) -> list[KnownKey]:
    """The keys of a file: YAML or JSON, a list of entries with `name`, `key` or its `sha256`, and `weight`.

    Raises:
        SettingsInvalid: it cannot be read, or an entry is wrong; which one is said, and never what it holds.
    """
    try:
        entries = _ENTRIES.validate_python(_parsed(path.read_bytes()))
    except OSError as error:
        raise _refusal(path, f"cannot be read: {error.strerror}") from None
    except ValidationError as error:
        raise _refusal(path, "; ".join(map(_complaint, error.errors(include_input=False)))) from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: what looks like a date and is none
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise _refusal(path, f"is neither YAML nor JSON{where}") from None
    known = [_known(path, number, entry) for number, entry in enumerate(entries, 1)]
    _check_unlike(path, "name", [entry.name for entry in entries])
    _check_unlike(path, "key", [one.digest for one in known])
    return known


def _parsed(content: bytes) -> Any:
    """JSON first: YAML has nearly all of it, but takes no tabs."""
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError:
        return yaml.safe_load(content)


def _known(path: Path, number: int, entry: _Entry) -> KnownKey:
    if (entry.key is None) == (entry.sha256 is None):
        raise _refusal(path, f"entry {number}: needs either key or sha256, and not both")
    if entry.key is not None:
        key = entry.key.get_secret_value()
        if not key or not all("!" <= char <= "~" for char in key):
            raise _refusal(path, f"entry {number}: key must be visible ASCII characters, which headers carry")
        kept = digest(key)
    else:
        kept = bytes.fromhex(entry.sha256 or "")
    if kept == _NOTHING:
        raise _refusal(path, f"entry {number}: sha256 is that of nothing at all")
    return KnownKey(kept, Caller(entry.name, entry.weight))


def _check_unlike(path: Path, what: str, values: Sequence[object]) -> None:
    for number, value in enumerate(values, 1):
        if (first := values.index(value) + 1) != number:
            raise _refusal(path, f"entry {number}: has the same {what} as entry {first}")


def _complaint(error: Any) -> str:
    """Of a field that is not ours the name is not told: a key may stand there by mistake."""
    place, words = list(error["loc"]), _WORDS.get(error["type"], error["msg"])
    if error["type"] == "extra_forbidden":
        place.pop()
    entry = f"entry {place[0] + 1}: " if place else ""
    return " ".join([f"{entry}{'.'.join(map(str, place[1:]))}".rstrip(), words])


def _refusal(path: Path, why: str) -> SettingsInvalid:
    return SettingsInvalid(f"--api-keys-file {path}: {why}")
