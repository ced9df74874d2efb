"""The identity of a job: everything that the content of OUT depends on. A job continues only with the same identity."""

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path

from rerank_service.error_text import excerpt
from rerank_service.errors import OperatorError
from rerank_service.tools.served_identity import READING

WAYS_ON = "continue with what the job was started with, give another OUT, or --restart to score all rows again"
"""The choices after a change of the identity, for the end of a message."""
_ABSENT = "not set"
_DIGEST = re.compile("[0-9a-f]{64}")


def input_digest(path: Path) -> str:
    """Return the sha256 of a file, in hex.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def changes(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Return one phrase for each entry in which two identities differ.

    How a server reads texts is compared only if both say it: a server may be upgraded from a version that does not.
    """
    names = [*before, *(name for name in now if name not in before)]
    return [
        _change(name, before.get(name, _ABSENT), now.get(name, _ABSENT))
        for name in names
        if before.get(name) != now.get(name) and (name not in READING or (name in before and name in now))
    ]


def check_server(before: Mapping[str, str], now: Mapping[str, str]) -> None:
    """Check that a server has the model, the engine and the reading of texts with which a job began.

    Raises:
        OperatorError: they differ.
    """
    if changed := changes(before, now):
        raise OperatorError(
            f"the server has changed since the job began: {'; '.join(changed)}. Finished parts are kept: {WAYS_ON}"
        )


def _change(name: str, before: str, now: str) -> str:
    if _DIGEST.fullmatch(before) and _DIGEST.fullmatch(now):  # their digits mean nothing to a reader
        return f"the content of {name} has changed"
    return f"{name} was {excerpt(before)}, now {excerpt(now)}"
