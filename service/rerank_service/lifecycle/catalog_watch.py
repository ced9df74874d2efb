"""Let a running server follow its models file and its model folders.

The status of each file is read once a second: some microseconds per file. Events of the kernel (inotify) would not do:
network volumes send none for changes by other machines. Links are followed, so the links that Kubernetes swaps in a
ConfigMap, and a link from `current` to another bundle, are changes too.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import structlog

from rerank_service.errors import OperatorError
from rerank_service.file_version import FileVersion, file_version
from rerank_service.lifecycle.background import run_in_background
from rerank_service.lifecycle.model_manager import ModelManager
from rerank_service.lifecycle.model_operations import one_line
from rerank_service.models.catalog.entry import ModelEntry

INTERVAL = 1.0
"""Seconds between two looks."""

_log = structlog.get_logger()

ReadCatalog = Callable[[], tuple[ModelEntry, ...]]
Versions = dict[str, FileVersion]


@dataclass(frozen=True, slots=True)
class _Seen:
    """The files at one look."""

    catalog: Versions
    """Versions of the models file, or of the folder of bundles and the folders in it."""
    models: dict[str, Versions]
    """Versions of the files of each model, by its name."""


class CatalogWatch:
    """Changes the models of a server when their files change. Used on the event loop only.

    A change counts when two looks have seen the same files, because a bundle takes time to copy. A wrong file changes
    nothing and is logged once. A load that failed is repeated when a file of its folder changes.
    """

    def __init__(
        self, manager: ModelManager, read: ReadCatalog, entries: Sequence[ModelEntry], path: Path | None
    ) -> None:
        """Follow the catalog `entries`, which the server started with.

        `read` reads the catalog again. `path` is its models file or its folder of bundles; None: there is none, and
        only the folders of the models change.
        """
        self._manager = manager
        self._read = read
        self._entries = tuple(entries)
        self._path = path
        self._applied = self._look(self._folders())
        self._last = self._applied

    async def run(self) -> None:
        """Look again and again."""
        while True:
            await asyncio.sleep(INTERVAL)
            await self.look()

    async def look(self) -> None:
        """Look at the files, and apply a change that the look before has seen, too. Return when it is applied."""
        seen = await run_in_background(partial(self._look, self._folders()))
        settled, self._last = seen == self._last, seen
        if not settled or seen == self._applied:
            return
        before, self._applied = self._applied, seen
        if seen.catalog != before.catalog:
            await self._change_catalog()
        for name, versions in seen.models.items():
            if name in before.models and versions != before.models[name]:
                await self._manager.refresh(name)

    async def _change_catalog(self) -> None:
        try:
            entries = await run_in_background(self._read)
            failed = await self._manager.change_catalog(self._entries, entries)
        except OperatorError as error:
            _log.error("models not reloaded", why=one_line(error), kept=len(self._entries))
            return
        before, self._entries = self._entries, entries
        _log.info("models reloaded", **_difference(before, entries), failed=failed)

    def _folders(self) -> dict[str, Path]:
        return {managed.name: managed.wanted.folder for managed in self._manager.models}

    def _look(self, folders: Mapping[str, Path]) -> _Seen:
        return _Seen(self._catalog(), {name: _versions(folder) for name, folder in folders.items()})

    def _catalog(self) -> Versions:
        if self._path is None:
            return {}
        if not self._path.is_dir():
            return {"": file_version(self._path)}
        return {child.name: _identity(child) for child in _children(self._path)}


def _identity(folder: Path) -> FileVersion:
    """Return numbers that change if a folder is replaced by another one, but not if a file in it changes."""
    version = file_version(folder)
    return None if version is None else version[:2]


def _versions(folder: Path) -> Versions:
    """Return the versions of all files of a model: those in its folder and in the folders there."""
    base = folder if folder.is_dir() else folder.parent  # a model may be a graph in a hub folder
    children = [child for each in _children(base) for child in (each, *(_children(each) if each.is_dir() else ()))]
    return {str(child): file_version(child) for child in children}


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
        "changed": sorted(name for name in new.keys() & old.keys() if new[name] != old[name]),
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
