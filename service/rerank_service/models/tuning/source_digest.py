"""Identify the version of the code that loads, derives and measures engines."""

import hashlib
from collections.abc import Iterable
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable

from rerank_service import __version__

PACKAGES = ("rerank_service.engine", "rerank_service.models.variants", "rerank_service.models.tuning")
"""Packages whose source code affects the result of a tuning."""


@cache
def code_version() -> str:
    """Return the package's version with a digest of the source of PACKAGES.

    The version alone does not change between two commits, so the result of a fixed fault would stay in the cache. If an
    installer removed the source files, only the version counts.
    """
    return f"{__version__} {source_digest(map(resources.files, PACKAGES))}"


def source_digest(folders: Iterable[Traversable]) -> str:
    """Return the sha256, in hex, of the names and contents of the Python files in folders."""
    digest = hashlib.sha256()
    for folder in folders:
        sources = [file for file in folder.iterdir() if file.name.endswith(".py")]
        for source in sorted(sources, key=lambda file: file.name):
            digest.update(f"{folder.name}/{source.name}\n".encode())
            digest.update(source.read_bytes())
    return digest.hexdigest()
