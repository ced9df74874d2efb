"""Let a running server follow its models file and its model folders.

The status of each file is read once a second: some microseconds per file. Events of the kernel (inotify) would not do:
network volumes send none for changes by other machines. Links are followed, so the links that Kubernetes swaps in a
ConfigMap, and a link from `current` to another bundle, are changes too.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import structlog

from rerank_service.error_text import one_line
from rerank_service.errors import OperatorError
from rerank_service.file_version import FileVersion, file_version
from rerank_service.lifecycle.background import run_in_background
from rerank_service.lifecycle.model_manager import ModelManager
from rerank_service.models.bundle import hub_files
from rerank_service.models.catalog.entry import ModelEntry

INTERVAL = 1.0
"""Seconds between two looks."""

_log = structlog.get_logger()

ReadCatalog = Callable[[], tuple[ModelEntry, ...]]
Versions = dict[str, FileVersion]


@dataclass(frozen=True, slots=True)
class Seen:
    """The files at one look."""

    catalog: Versions
    """Versions of the models file, or of the folder of bundles and the folders in it."""
    models: dict[Path, Versions]
    """Versions of the files in each model folder."""


def read_and_look(read: ReadCatalog, path: Path | None) -> tuple[tuple[ModelEntry, ...], Seen]:
    """Read a catalog, and look at its files. A change after this look is seen by the next one, also while the models
    are loading.

    Raises what `read` raises.
    """
    catalog = _catalog(path)
    entries = read()
    return entries, Seen(catalog, _models(entry.folder for entry in entries))


class CatalogWatch:
    """Changes the models of a server when their files change. Used on the event loop only.

    A change counts when two looks have seen the same files, because a bundle takes time to copy. A wrong file changes
    nothing, is logged once, and is read again at each look: its mistake may be a folder that is not there yet. A load
    that failed is repeated when a file of its folder changes. A model that is being unloaded changes afterwards.
    """

    def __init__(
        self, manager: ModelManager, read: ReadCatalog, entries: Sequence[ModelEntry], path: Path | None, seen: Seen
    ) -> None:
        """Follow the catalog `entries`, which the server started with. `seen` are its files before they were loaded.

        `read` reads the catalog again. `path` is its models file or its folder of bundles; None: there is none, and
        only the folders of the models change.
        """
        self._manager = manager
        self._read = read
        self._entries = tuple(entries)
        self._path = path
        self._applied = self._last = seen
        self._problem = ""
        """The error of the last look, as it was logged; empty if there was none."""
        self._failed: set[str] = set()
        """Names of the models whose load failed after a change of the files."""

    @property
    def up_to_date(self) -> bool:
        """False if the models file is wrong, or a model could not be loaded after a change of the files."""
        return not self._problem and not self._failing()

    async def run(self) -> None:
        """Look again and again."""
        while True:
            await asyncio.sleep(INTERVAL)
            await self.look()

    async def look(self) -> None:
        """Look at the files, and apply a change that the look before has seen, too. Return when it is applied."""
        try:
            await self._look()
        except Exception as error:  # noqa: BLE001 - the next look tries again
            if one_line(error) != self._problem:
                unexpected = None if isinstance(error, OperatorError) else error
                _log.error("models not reloaded", why=one_line(error), kept=len(self._entries), exc_info=unexpected)
            self._problem = one_line(error)

    def _failing(self) -> set[str]:
        """Return those of the models that failed which no later load has repaired."""
        return {each.name for each in self._manager.models if each.load_failed} & self._failed

    async def _look(self) -> None:
        self._failed = self._failing()
        folders = [managed.wanted.folder for managed in self._manager.models]
        seen = await run_in_background(lambda: Seen(_catalog(self._path), _models(folders)))
        settled, self._last = seen == self._last, seen
        waiting = any(managed.waiting for managed in self._manager.models)
        if not settled or (seen == self._applied and not self._problem and not waiting):
            return
        before, self._applied = self._applied, seen
        try:
            await self._apply(before, seen)
        except Exception:
            self._applied = Seen(seen.catalog, before.models)  # the next look applies the changes of folders again
            raise

    async def _apply(self, before: Seen, seen: Seen) -> None:
        if self._path is not None and (self._problem or seen.catalog != before.catalog):
            await self._change_catalog()
        for managed in self._manager.models:
            folder = managed.wanted.folder
            known = before.models.get(folder)
            changed = known is not None and seen.models.get(folder, known) != known
            if (changed or managed.waiting) and not await self._manager.refresh(managed.name):
                self._failed.add(managed.name)
        self._problem = ""

    async def _change_catalog(self) -> None:
        entries, seen = await run_in_background(partial(read_and_look, self._read, self._path))
        new = {folder: versions for folder, versions in seen.models.items() if folder not in self._applied.models}
        self._applied = Seen(
            self._applied.catalog, self._applied.models | new
        )  # they may change while they are loading
        failed = await self._manager.change_catalog(self._entries, entries)
        self._failed.update(failed)
        _log.info("models reloaded", **_difference(self._entries, entries), failed=failed)
        self._entries = entries


def _catalog(path: Path | None) -> Versions:
    if path is None:
        return {}
    if not os.path.isdir(path):  # noqa: PTH112 - Path.is_dir raises without permission
        return {"": file_version(path)}
    return {child.name: _identity(child) for child in _children(path)}


def _models(folders: Iterable[Path]) -> dict[Path, Versions]:
    return {folder: _versions(folder) for folder in folders}


def _identity(folder: Path) -> FileVersion:
    """Return numbers that change if a folder is replaced by another one, but not if a file in it changes."""
    version = file_version(folder)
    return None if version is None else version[:2]


def _versions(folder: Path) -> Versions:
    """Return the versions of all files of a model: those in its folder and in the folders there.

    For a graph of a hub folder, they are those of the hub folder.
    """
    if os.path.isdir(folder):  # noqa: PTH112 - Path.is_dir raises without permission
        files = [child for each in _children(folder) for child in (each, *_children(each))]
    else:
        files = _files_around(folder)
    return {str(file): file_version(file) for file in files}


def _files_around(graph: Path) -> list[Path]:
    try:
        return sorted(hub_files(graph))
    except OSError:
        return []


def _children(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _difference(before: Sequence[ModelEntry], after: Sequence[ModelEntry]) -> dict[str, object]:
    """Return the number of models, and the names that are new, gone or different."""
    old, new = ({entry.name: entry for entry in entries if entry.name} for entries in (before, after))
    return {
        "models": len(after),
        "added": sorted(new.keys() - old.keys()),
        "removed": sorted(old.keys() - new.keys()),
        "changed": sorted(name for name in new.keys() & old.keys() if new[name].differs(old[name])),
    }


@asynccontextmanager
async def watching(watch: CatalogWatch) -> AsyncIterator[None]:
    """Follow the files during the block."""
    task = asyncio.create_task(watch.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
