"""The memory that a replaced version and a tuning have used goes back to the kernel."""

import asyncio
import threading
from collections.abc import Callable

import pytest

from rerank_service.lifecycle import freed_memory
from rerank_service.lifecycle.background_tuning import tuning_in_background
from rerank_service.lifecycle.freed_memory import give_back_freed_memory
from support.managed import MB, FakeStore, entry, managed


def _on_give_back(monkeypatch: pytest.MonkeyPatch, call: Callable[[], object]) -> None:
    monkeypatch.setattr(freed_memory, "return_free_memory", call)


async def test_memory_of_a_replaced_version_is_given_back(store: FakeStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """After its last request has ended: only then is it free."""
    used: list[int] = []
    _on_give_back(monkeypatch, lambda: used.append(store.used()))
    async with managed(store, entry("a")) as server:
        [earlier] = server.manager.models[0].lanes
        store.versions["a"] = 2
        await server.manager.load("a")
        await earlier
        assert used[-2:] == [200 * MB, 100 * MB]


async def test_memory_of_an_unloaded_model_is_given_back(store: FakeStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the model counts as unloaded."""
    used: list[int] = []
    async with managed(store, entry("a")) as server:
        _on_give_back(monkeypatch, lambda: used.append(store.used()))
        await server.manager.unload("a")
        assert used == [0]


async def test_no_model_is_unloaded_for_memory_that_is_free(store: FakeStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory that malloc keeps would count as used."""
    store.limit = 250 * MB
    async with managed(store, entry("a", on_demand=True), entry("b", on_demand=True)) as server:
        assert await server.rank("a") == 1
        store.held[0] = 100 * MB  # freed, but not given back
        _on_give_back(monkeypatch, lambda: store.held.pop(0, None))
        assert await server.rank("b") == 1
        assert server.states() == {"a": "ready", "b": "ready"}


async def test_memory_of_engines_that_a_tuning_tried_is_given_back(
    store: FakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the tuning ends."""
    given_back, loop = asyncio.Event(), asyncio.get_running_loop()
    async with managed(store, entry("a")) as server:

        def tune(*_: object) -> None:
            _on_give_back(monkeypatch, lambda: loop.call_soon_threadsafe(given_back.set))

        async with tuning_in_background(server.manager, tune), asyncio.timeout(10):
            await given_back.wait()


async def test_without_a_thread_the_memory_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """An unload and a swap must not fail by that."""

    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        await give_back_freed_memory()
