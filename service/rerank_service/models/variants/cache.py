"""What was derived or measured on this machine, kept between starts.

    <folder>/graphs/<key>/model.onnx, model.onnx.data, digests.json
    <folder>/tuning/<key>.json

Rule: the cache is never needed. What cannot be read is made again, what cannot be written is done without.
"""

import hashlib
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import orjson
import structlog

from rerank_service.models.bundle import file_digest
from rerank_service.models.files import GRAPH

_DIGESTS = "digests.json"
_ABANDONED = 24 * 60 * 60.0
"""Seconds after which a folder that was begun is nobody's: its process was killed."""

_log = structlog.get_logger()


def key(*parts: str) -> str:
    """A name for what depends on these parts and on nothing else."""
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]


class Cache:
    """A folder of this user's. Several processes may use it at once: what is there is whole."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def graph(self, name: str, make: Callable[[Path], None]) -> Path | None:
        """The graph of that name; `make` writes it to a path if it is not there. None where nothing can be kept.

        Raises what `make` raises, but for OSError.
        """
        place = self._folder / "graphs" / name
        if _is_whole(place):
            return place / GRAPH
        try:
            with _beside(place) as begun:
                make(begun / GRAPH)
                digests = {path.name: file_digest(path) for path in begun.iterdir()}
                (begun / _DIGESTS).write_text(json.dumps(digests))
                if not _is_whole(place):  # another process may have been quicker
                    shutil.rmtree(place, ignore_errors=True)
                    begun.rename(place)
        except OSError as error:
            if _is_whole(place):
                return place / GRAPH
            _log.warning("not kept", what=str(place), why=str(error))
            return None
        return place / GRAPH

    def tuning(self, name: str) -> dict[str, Any] | None:
        """What was measured under that name."""
        try:
            value = orjson.loads(self._tuning(name).read_bytes())
        except (OSError, ValueError):
            return None
        return value if isinstance(value, dict) else None

    def keep_tuning(self, name: str, value: dict[str, Any]) -> bool:
        """Keep what was measured; tells whether that could be done."""
        path = self._tuning(name)
        try:
            with _beside(path) as begun:
                (begun / path.name).write_text(json.dumps(value, indent=2) + "\n")
                (begun / path.name).replace(path)
        except OSError as error:
            _log.warning("not kept", what=str(path), why=str(error))
            return False
        return True

    def _tuning(self, name: str) -> Path:
        return self._folder / "tuning" / f"{name}.json"


@contextmanager
def _beside(place: Path) -> Iterator[Path]:
    """A new folder next to a place, so that what is in it can be moved there in one step; gone at the end."""
    place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    for other in place.parent.glob(".*"):
        with suppress(OSError):  # its process has just moved it
            if time.time() - other.stat().st_mtime > _ABANDONED:
                shutil.rmtree(other, ignore_errors=True)
    begun = Path(tempfile.mkdtemp(prefix=".", dir=place.parent))
    try:
        yield begun
    finally:
        shutil.rmtree(begun, ignore_errors=True)


def _is_whole(place: Path) -> bool:
    """Whether a graph is there as it was written: a disk may have been full, and others may write here too."""
    try:
        digests = json.loads((place / _DIGESTS).read_bytes())
        present = {path.name for path in place.iterdir()} - {_DIGESTS}
        return present == set(digests) and all(file_digest(place / name) == digests[name] for name in digests)
    except (OSError, ValueError, TypeError):
        return False
