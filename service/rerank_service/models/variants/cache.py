"""Cache derived graphs and tunings of this machine between starts.

    <folder>/graphs/<key>/model.onnx, model.onnx.data, digests.json
    <folder>/tuning/<key>.json                the tuning, with its digest

Rule: the server works without the cache. Damaged entries are logged and made again, and a failed write is only logged.
"""

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import orjson
import structlog

from rerank_service.models.bundle import file_digest
from rerank_service.models.files import GRAPH, json_digest
from rerank_service.models.variants.temporary_folders import remove_if_old, temporary_folder

_DIGESTS = "digests.json"

_log = structlog.get_logger()


def key(*parts: str) -> str:
    """Return a key of 32 hex digits for an entry that depends on these parts only."""
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]


class Cache:
    """A cache folder of one user. Several processes may use it at the same time: entries appear complete."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def graph(self, name: str, make: Callable[[Path], None]) -> Path | None:
        """Return the path of a cached graph. `make` writes it to a path if it is missing.

        None if the cache cannot be written. Exceptions of `make` other than OSError are raised.
        """
        entry = self._folder / "graphs" / name
        if _is_complete(entry):
            return entry / GRAPH
        if os.path.lexists(entry):
            _log_damage(entry)
        try:
            with _new_folder(entry) as temporary:
                make(temporary / GRAPH)
                digests = {path.name: file_digest(path) for path in temporary.iterdir()}
                (temporary / _DIGESTS).write_text(json.dumps(digests))
                with _one_process(entry.parent):
                    if not _is_complete(entry):  # another process may have been faster
                        _remove(entry)
                        temporary.rename(entry)
        except OSError as error:
            if _is_complete(entry):
                return entry / GRAPH
            _log_failed_write(entry, error)
            return None
        return entry / GRAPH

    def tuning(self, name: str) -> dict[str, Any] | None:
        """Return a cached tuning; None if there is none, or if its file is damaged."""
        path = self._tuning(name)
        try:
            content = path.read_bytes()
        except OSError:
            return None
        value = _undamaged(content)
        if value is None:
            _log_damage(path)
        return value

    def store_tuning(self, name: str, value: dict[str, Any]) -> bool:
        """Store a tuning. Return whether it was written."""
        path = self._tuning(name)
        try:
            with _new_folder(path) as temporary:
                (temporary / path.name).write_text(json.dumps(_with_digest(value), indent=2) + "\n")
                if path.is_dir():
                    _remove(path)
                (temporary / path.name).replace(path)
        except OSError as error:
            _log_failed_write(path, error)
            return False
        return True

    def counts(self) -> tuple[int, int]:
        """Return the number of tunings, and of graphs."""
        return len(list(self._folder.glob("tuning/*.json"))), len(list(self._folder.glob(f"graphs/*/{GRAPH}")))

    def _tuning(self, name: str) -> Path:
        return self._folder / "tuning" / f"{name}.json"


def _remove(path: Path) -> None:
    """Remove an entry, whatever it is."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _with_digest(value: dict[str, Any]) -> dict[str, Any]:
    return {"sha256": json_digest(value), "tuning": value}


def _undamaged(content: bytes) -> dict[str, Any] | None:
    """Return the tuning in a file; None if its digest does not match."""
    try:
        stored = orjson.loads(content)
        value = stored["tuning"]
        return value if isinstance(value, dict) and stored["sha256"] == json_digest(value) else None
    except (ValueError, LookupError, TypeError):
        return None


def _log_damage(path: Path) -> None:
    _log.warning("cache entry is damaged", path=str(path), next="it is made again")


def _log_failed_write(path: Path, error: OSError) -> None:
    _log.warning("cache not written", path=str(path), error=str(error))


@contextmanager
def _new_folder(entry: Path) -> Iterator[Path]:
    """Yield a new folder next to an entry, from which a file moves there in one step. Removed afterwards."""
    entry.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    for old in entry.parent.glob(".????????"):  # those of killed processes of version 0.1.0
        with suppress(OSError):  # another process has just removed it
            remove_if_old(old)
    with temporary_folder(entry.parent) as temporary:
        yield temporary


@contextmanager
def _one_process(folder: Path) -> Iterator[None]:
    """Let one process at a time replace a damaged entry, so that none removes what another has just made."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(opened, fcntl.LOCK_EX)
        yield
    finally:
        os.close(opened)


def _is_complete(entry: Path) -> bool:
    """Return whether a graph is unchanged since it was written. The disk may have been full, or others may write."""
    try:
        digests = json.loads((entry / _DIGESTS).read_bytes())
        present = {path.name for path in entry.iterdir()} - {_DIGESTS}
        return present == set(digests) and all(file_digest(entry / name) == digests[name] for name in digests)
    except (OSError, ValueError, TypeError):
        return False
