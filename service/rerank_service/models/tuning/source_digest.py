"""The version of the code that loads, derives and measures engines."""

import hashlib
from collections.abc import Iterable
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable

from rerank_service import __version__

PACKAGES = ("rerank_service.engine", "rerank_service.models.variants", "rerank_service.models.tuning")
"""Their source decides what a tuning finds."""


@cache
def code_version() -> str:
    """Return the package's version with a digest of the source of PACKAGES.

    The version alone does not change between two commits, so a fault that was fixed would stay in the cache. Where a
    package has no source files, as some installers leave it, the version alone is used.
    """
    return f"{__version__} {source_digest(map(resources.files, PACKAGES))}"


def source_digest(folders: Iterable[Traversable]) -> str:
    """Return the sha256, in hex, of the names and contents of the Python files in folders."""
    digest = hashlib.sha256()
    for folder in folders:
        sources = [one for one in folder.iterdir() if one.name.endswith(".py")]
        for source in sorted(sources, key=lambda one: one.name):
            digest.update(f"{folder.name}/{source.name}\n".encode())
            digest.update(source.read_bytes())
    return digest.hexdigest()
