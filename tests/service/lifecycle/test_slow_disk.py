"""A disk that does not answer while a model is read: the event loop is free, and other models serve."""

import asyncio
import os
import threading
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from rerank_service.lifecycle.model_manager import ModelManager
from support.managed import MB, FakeSelected, FakeStore, entry, managed


class SlowDisk:
    """Reads of a folder do not return until the test releases them."""

    def __init__(self) -> None:
        self._free = threading.Event()
        self._read = threading.Event()

    def wait(self) -> None:
        """Read. Fails on the event loop, which would stand still."""
        assert threading.current_thread() is not threading.main_thread(), "the event loop waits for a disk"
        self._read.set()
        self._free.wait()

    async def read(self) -> None:
        """Wait until something is read."""
        await asyncio.to_thread(self._read.wait)

    def release(self) -> None:
        """Let all reads return."""
        self._free.set()


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[SlowDisk]:
    """Make the manifests of the folders below /slow slow to read."""
    slow, lexists = SlowDisk(), os.path.lexists

    def wait_and_look(path: Path) -> bool:
        if Path(path).is_relative_to("/slow"):
            slow.wait()
        return lexists(path)

    monkeypatch.setattr(os.path, "lexists", wait_and_look)
    yield slow
    slow.release()


async def _load_new(manager: ModelManager) -> None:
    await manager.load("b", Path("/slow/b"))


async def _add_to_the_catalog(manager: ModelManager) -> None:
    before = tuple(each.entry for each in manager.models)
    await manager.change_catalog(before, (*before, entry("b", folder="/slow/b")))


Change = Callable[[ModelManager], Coroutine[Any, Any, None]]


@pytest.mark.parametrize("change", [_load_new, _add_to_the_catalog])
async def test_a_model_serves_while_the_manifest_of_another_is_read(
    change: Change, store: FakeStore, disk: SlowDisk
) -> None:
    """Added by an operator, or by a changed models file."""
    async with managed(store, entry("a")) as server:
        task = asyncio.create_task(change(server.manager))
        await disk.read()
        assert await server.rank("a") == 1
        disk.release()
        await task
        assert await server.rank("b") == 1


async def test_a_model_serves_while_the_folder_of_another_has_changed(store: FakeStore, disk: SlowDisk) -> None:
    """A model on demand that is not loaded: its manifest is read again."""
    async with managed(store, entry("a"), entry("b", on_demand=True)) as server:
        server.manager.models[1].wanted = entry("b", on_demand=True, folder="/slow/b")
        task = asyncio.create_task(server.manager.refresh("b"))
        await disk.read()
        assert await server.rank("a") == 1
        disk.release()
        assert await task


@pytest.mark.parametrize("step", ["check_memory", "may_exceed", "load_on_engine", "without_tuning"])
async def test_a_model_serves_while_the_files_of_another_are_read(
    step: str, store: FakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The estimate of the memory reads the graph, and the load all files. A failed engine looks for changed files."""
    slow = SlowDisk()
    store.other_bytes["b"] = 100 * MB
    async with managed(store, entry("a")) as server:
        intact = getattr(FakeSelected, step)

        def wait(*arguments: Any, **options: Any) -> Any:
            slow.wait()
            return intact(*arguments, **options)

        monkeypatch.setattr(FakeSelected, step, wait)
        task = asyncio.create_task(_load_new(server.manager))
        await slow.read()
        assert await server.rank("a") == 1
        slow.release()
        await task
        assert await server.rank("b") == 1
