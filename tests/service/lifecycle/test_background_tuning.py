"""Faster engines for models that serve, found in the background, with real schedulers and requests."""

import asyncio
import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest
from structlog.testing import capture_logs

from rerank_service.errors import BundleInvalid
from rerank_service.lifecycle.background import run_in_background
from rerank_service.lifecycle.background_tuning import tuning_in_background
from rerank_service.lifecycle.model_control_errors import LoadFailed
from rerank_service.models.bundle import Bundle
from rerank_service.models.catalog.entry import ModelEntry
from rerank_service.models.served_model import Names, ServedModel
from rerank_service.models.tuning.improve import FasterModel, Improvement, LoadChosen, SameEngine
from support.managed import MB, FakeStore, ManagedServer, entry, managed


class Tuning:
    """Improvements that a test decides. Created on the event loop."""

    def __init__(self, store: FakeStore) -> None:
        self._store = store
        self._loop = asyncio.get_running_loop()
        self._begun = asyncio.Semaphore(0)
        self.begun: list[str] = []
        self.gave_up: list[str] = []
        self.finish = threading.Event()

    async def begins(self) -> None:
        """Wait until one more tuning has begun."""
        async with asyncio.timeout(10):
            await self._begun.acquire()

    def choose(self, model: ModelEntry, running: ServedModel, give_up: threading.Event) -> LoadChosen | None:
        """Choose version 9 of the same bundle, when the test lets it. Return None if it gives up."""
        self.begun.append(str(model.name))
        self._loop.call_soon_threadsafe(self._begun.release)
        while not self.finish.wait(0.001):
            if give_up.is_set():
                self.gave_up.append(str(model.name))
                return None
        return partial(self._load, model, running.bundle)

    def _load(self, model: ModelEntry, bundle: Bundle) -> Improvement:
        self._store.versions[bundle.folder.name] = 9
        self._store.broken.discard(bundle.folder.name)
        loaded = self._store.load(bundle, Names(model.name))
        return FasterModel(replace(loaded, info=replace(loaded.info, precision="int8")))


async def _until(server: ManagedServer, holds: Callable[[], bool]) -> None:
    """Wait for a condition that a change of a model's state makes true."""
    changed = asyncio.Event()
    server.registry.on_change(changed.set)
    async with asyncio.timeout(10):
        while not holds():
            changed.clear()
            await changed.wait()


def _is_faster(server: ManagedServer, *names: str) -> bool:
    return all(server.registry.find(name).info.precision == "int8" for name in names)


async def test_models_change_to_faster_engines_one_after_the_other(store: FakeStore) -> None:
    """Requests that the slow version has accepted finish there. Its memory is freed then."""
    tuning = Tuning(store)
    async with managed(store, entry("a"), entry("b", aliases=("x",))) as server:
        with capture_logs() as logs:
            held = store.scores["a"]
            held.hold()
            accepted = asyncio.create_task(server.rank("a"))
            await held.started()
            async with tuning_in_background(server.manager, tuning.choose), asyncio.timeout(20):
                tuning.finish.set()
                await _until(server, lambda: _is_faster(server, "a", "b"))
                assert [await server.rank("a"), await server.rank("x")] == [9, 9]
                held.release()
                assert await accepted == 1
                del held
                while store.used() > 200 * MB:
                    await asyncio.sleep(0.001)
        assert tuning.begun == ["a", "b"]
        swaps = [log for log in logs if log["event"] == "model swapped"]
        assert [(log["model"], log["precision"]) for log in swaps] == [("a", "int8"), ("b", "int8")]


async def test_a_tuning_updates_the_reason_of_the_version_that_serves(store: FakeStore) -> None:
    """The version stays if it is the fastest, and its description gets the reason."""

    def same(_entry: ModelEntry, running: ServedModel, _give_up: threading.Event) -> LoadChosen:
        return lambda: SameEngine(replace(running.info, explanation="the fastest"))

    async with managed(store, entry("a")) as server:
        async with tuning_in_background(server.manager, same), asyncio.timeout(10):
            while server.registry.find("").info.explanation != "the fastest":
                await asyncio.sleep(0.001)
        assert store.loads == ["a"]
        assert await server.rank() == 1


@pytest.mark.parametrize(
    ("error", "text", "has_traceback"),
    [
        (MemoryError("no\nmemory"), "no memory", True),
        (AssertionError(), "AssertionError", True),
        (BundleInvalid("model.onnx was changed"), "model.onnx was changed", False),
    ],
    ids=["line breaks", "without a message", "of an operator"],
)
async def test_a_tuning_that_fails_changes_nothing(
    store: FakeStore, error: Exception, text: str, has_traceback: bool
) -> None:
    """The version continues to serve. The log has the reason, what to do, and the place of an unexpected error."""

    def fail(*_: object) -> LoadChosen:
        raise error

    async with managed(store, entry("a")) as server:
        with capture_logs() as logs:
            async with tuning_in_background(server.manager, fail), asyncio.timeout(10):
                while not logs:
                    await asyncio.sleep(0.001)
        [log] = logs
        assert (log["event"], log["error"]) == ("tuning failed", text)
        assert log["next"] == "the model stays on cpu fp32: run `rerank tune` to choose its engine"
        assert log["exc_info"] is (error if has_traceback else None)
        assert await server.rank() == 1


async def test_a_shutdown_does_not_wait_for_the_tuning(store: FakeStore) -> None:
    """Deriving a large graph takes minutes, and the drain has to begin."""
    events: list[threading.Event] = []
    release = threading.Event()

    def derive(_entry: ModelEntry, _running: ServedModel, give_up: threading.Event) -> None:
        events.append(give_up)
        release.wait()

    async with managed(store, entry("a")) as server, asyncio.timeout(10):
        async with tuning_in_background(server.manager, derive):
            while not events:
                await asyncio.sleep(0.001)
        assert events[0].is_set()
    release.set()


async def test_a_new_version_ends_the_tuning_of_the_old_one(store: FakeStore) -> None:
    """Its result would belong to a version that serves no more. The new version is tuned instead."""
    tuning = Tuning(store)
    async with (
        managed(store, entry("a")) as server,
        tuning_in_background(server.manager, tuning.choose),
        asyncio.timeout(20),
    ):
        while not tuning.begun:
            await asyncio.sleep(0.001)
        store.versions["a"] = 2
        await server.manager.load("a")
        while len(tuning.begun) < 2:
            await asyncio.sleep(0.001)
        assert tuning.gave_up == ["a"]
        assert await server.rank() == 2
        tuning.finish.set()
        while await server.rank() != 9:
            await asyncio.sleep(0.001)


async def test_a_faster_engine_waits_for_a_load(store: FakeStore) -> None:
    """If the load fails, the version that was tuned still serves, and changes to the faster engine."""
    tuning = Tuning(store)
    async with managed(store, entry("a")) as server:
        async with tuning_in_background(server.manager, tuning.choose), asyncio.timeout(20):
            await tuning.begins()
            store.hold()
            store.versions["a"], store.broken = 2, {"a"}
            load = asyncio.create_task(server.manager.load("a"))
            await store.loading(2)
            tuning.finish.set()
            assert await server.rank() == 1
            store.release()
            with pytest.raises(LoadFailed):
                await load
            await _until(server, lambda: _is_faster(server, "a"))
            assert await server.rank() == 9
            assert store.loads == ["a"] * 3
        assert (await server.manager.unload("a")).state.value == "unloaded"


async def test_memory_of_a_tuned_model_is_that_of_its_load(store: FakeStore) -> None:
    """Not that of a model that was loaded during the tuning. Nor has that model the memory of the tuned one."""
    tuning = Tuning(store)
    async with (
        managed(store, entry("a"), entry("b", on_demand=True)) as server,
        tuning_in_background(server.manager, tuning.choose),
    ):
        await tuning.begins()
        store.hold()
        load = asyncio.create_task(server.manager.load("b"))
        await store.loading(2)
        tuning.finish.set()
        for _ in range(10):  # time in which the tuning ends: its load would begin
            await run_in_background(lambda: None)
        assert store.loads == ["a", "b"]
        store.release()
        assert (await load).memory_bytes == 100 * MB
        await _until(server, lambda: _is_faster(server, "a"))
        assert server.manager.statuses()[0].memory_bytes == 100 * MB


async def test_a_faster_engine_does_not_wait_for_an_unload(store: FakeStore) -> None:
    """The last requests of a model may take hours. Meanwhile, the next model is tuned."""
    tuning = Tuning(store)
    async with managed(store, entry("a"), entry("b")) as server:
        held = store.scores.pop("a")
        held.hold()
        accepted = asyncio.create_task(server.rank("a"))
        await held.started()
        finished = threading.Event()

        def choose(model: ModelEntry, running: ServedModel, _give_up: threading.Event) -> LoadChosen | None:
            finished.wait()  # it has found the faster engine before it could give up
            return tuning.choose(model, running, threading.Event())

        tuning.finish.set()
        async with tuning_in_background(server.manager, choose), asyncio.timeout(20):
            unload = asyncio.create_task(server.manager.unload("a"))
            await asyncio.sleep(0)
            finished.set()
            while await server.rank("b") != 9:
                await asyncio.sleep(0.001)
        assert tuning.begun == ["a", "b"]
        assert server.states()["a"] == "draining"
        held.release()
        assert await accepted == 1
        await unload
