"""The identity of a job: everything that the content of OUT depends on. A job continues only with the same identity."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

from rerank_service.error_text import excerpt

_ABSENT = "not set"


def input_digest(path: Path) -> str:
    """Return the sha256 of a file, in hex.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def changes(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Return one phrase for each entry in which two identities differ."""
    names = [*before, *(name for name in now if name not in before)]
    return [
        f"{name} was {excerpt(before.get(name, _ABSENT))}, now {excerpt(now.get(name, _ABSENT))}"
        for name in names
        if before.get(name) != now.get(name)
    ]
