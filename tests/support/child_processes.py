"""Processes that the main thread of the tests has started and that have not ended."""

import os
from pathlib import Path

_CHILDREN = Path(f"/proc/self/task/{os.getpid()}/children")


def children() -> set[str]:
    """Return their ids. Empty where the kernel does not list them."""
    return set(_CHILDREN.read_text().split()) if _CHILDREN.exists() else set()
