"""Check of the cache folder."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from rerank_service.models.variants.cache import Cache
from rerank_service.quantities import counted
from rerank_service.tools.doctor.finding import Finding, ok, slow

_MB = 10**6


def cache_findings(folder: Path) -> Iterator[Finding]:
    """Yield whether the cache folder can be written, its size, and the number of tunings. Makes no folder."""
    problem = _problem(folder)
    if problem is not None:
        yield slow(
            "cache",
            f"{folder} cannot be written ({problem}): each start measures and derives again",
            "set --cache or RERANK_CACHE to a folder that the user of the server can write, such as a volume",
        )
        return
    size = sum(map(_size, folder.rglob("*")))
    tunings, graphs = Cache(folder).counts()
    kept = f"{counted(tunings, 'tuning')}, {counted(graphs, 'derived graph')}, {size / _MB:,.1f} MB"
    yield ok("cache", f"{folder} can be written; it keeps {kept}")


def _problem(folder: Path) -> str | None:
    """Return why files cannot be written to a folder, which may be absent; None if they can."""
    existing = next((each for each in (folder, *folder.parents) if os.path.lexists(each)), folder)
    if not existing.is_dir():
        return f"{existing} is not a folder"
    if existing != folder:
        return None if os.access(existing, os.W_OK | os.X_OK) else f"this user cannot write to {existing}"
    try:
        with tempfile.TemporaryFile(dir=folder):
            return None
    except OSError as error:
        return str(error.strerror)


def _size(path: Path) -> int:
    """Return the bytes of a file; 0 for a folder, and for a file that a running server has just removed."""
    try:
        return path.stat().st_size if path.is_file() else 0
    except OSError:
        return 0
