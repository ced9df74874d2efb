"""The memory of a tuning: unloads and loads of models wait until it is free."""

import asyncio
import threading
from collections.abc import Sequence
from functools import partial

from rerank_service.engine.cgroup_limits import MemoryLimit
from rerank_service.lifecycle.background import run_in_background
from rerank_service.lifecycle.background_tuning import tuning_in_background
from rerank_service.lifecycle.managed_model import ManagedModel
from rerank_service.lifecycle.tuner import NoTuner
from rerank_service.models.bundle import Bundle
from rerank_service.models.catalog.entry import ModelEntry
from rerank_service.models.served_model import Names, ServedModel
from rerank_service.models.tuning.improve import FasterModel, Improvement, LoadChosen
from support.managed import MB, FakeStore, entry, managed


class HeldTuning:
    """A tuning that tries an engine until it is given up, and ends when the test lets it. Created on the event loop."""

    def __init__(self, store: FakeStore, engine_bytes: int = 0) -> None:
        """`engine_bytes` is the memory of the engine."""
        self._store = store
        self._engine_bytes = engine_bytes
        self._loop = asyncio.get_running_loop()
        self._begun = asyncio.Semaphore(0)
        self._given_up = asyncio.Semaphore(0)
        self.models: list[str] = []
        """The models whose tunings have begun."""
        self.may_end = threading.Event()

    def choose(self, model: ModelEntry, _running: ServedModel, give_up: threading.Event) -> LoadChosen | None:
        """Choose no engine."""
        self.models.append(str(model.name))
        self._store.held[0] = self._engine_bytes
        self._loop.call_soon_threadsafe(self._begun.release)
        give_up.wait()
        self._loop.call_soon_threadsafe(self._given_up.release)
        self.may_end.wait()
        del self._store.held[0]
        return None

    async def begins(self) -> None:
        """Wait until one more tuning has begun."""
        async with asyncio.timeout(10):
            await self._begun.acquire()

    async def is_given_up(self) -> None:
        """Wait until one more tuning is given up. Then give the server time to go on without waiting for its end."""
        async with asyncio.timeout(10):
            await self._given_up.acquire()
        await _others_go_on()


async def _others_go_on() -> None:
    """Give the event loop and other threads time to do what they do not wait with."""
    for _ in range(20):
        await run_in_background(lambda: None)


class SlowTuner(NoTuner):
    """A tuning of one model for which no load waits long enough."""

    def __init__(self, model: str) -> None:
        self._model = model
        self.waits = 0

    def tunes(self, managed: ManagedModel, /) -> bool:
        """See `Tuner`."""
        return managed.name == self._model

    async def make_room(self) -> bool:
        """Take longer than the caller waits."""
        self.waits += 1
        raise TimeoutError


async def test_an_unload_waits_for_the_tuning(store: FakeStore) -> None:
    """It cannot be stopped while it loads an engine. Until it ends, it holds the memory of the model."""
    tuning = HeldTuning(store)
    async with managed(store, entry("a")) as server, tuning_in_background(server.manager, tuning.choose):
        await tuning.begins()
        unload = asyncio.create_task(server.manager.unload("a"))
        await tuning.is_given_up()
        assert server.states() == {"a": "draining"}
        tuning.may_end.set()
        assert (await unload).state.value == "unloaded"
        assert store.used() == 0


async def test_an_idle_model_is_not_unloaded_while_it_is_tuned(store: FakeStore) -> None:
    """Requests would get 503 until the tuning has ended, which may take minutes. It is unloaded then."""
    begun, may_end, events = threading.Event(), threading.Event(), list[threading.Event]()

    def choose(_entry: ModelEntry, _running: ServedModel, give_up: threading.Event) -> None:
        events.append(give_up)
        begun.set()
        may_end.wait()

    before, after = (entry("a", on_demand=True, unload_after=seconds) for seconds in (3600.0, 0.0))
    async with managed(store, before) as server, tuning_in_background(server.manager, choose):
        assert await server.rank("a") == 1
        await asyncio.to_thread(begun.wait)
        await server.manager.change_catalog((before,), (after,))
        await _others_go_on()
        assert server.states() == {"a": "ready"}
        assert not events[0].is_set()
        may_end.set()
        await server.until("unloaded", "a")


async def test_the_memory_of_a_tuning_costs_no_second_model(store: FakeStore) -> None:
    """The load waits until the tuning has ended, and unloads the model that was used longest ago only."""
    store.limit = 250 * MB
    tuning = HeldTuning(store)
    async with (
        managed(store, *(entry(name, on_demand=True) for name in ("a", "b", "c"))) as server,
        tuning_in_background(server.manager, tuning.choose),
    ):
        assert await server.rank("a") == 1
        await tuning.begins()
        assert await server.rank("c") == 1
        request = asyncio.create_task(server.rank("b"))
        await tuning.is_given_up()
        tuning.may_end.set()
        assert await request == 1
        assert server.states() == {"a": "unloaded", "b": "ready", "c": "ready"}


async def test_a_load_waits_for_a_slow_tuning_once(store: FakeStore) -> None:
    """It needs the memory of two models, and takes that of others than the one that is tuned: the unload of that one
    would wait for the tuning, too."""
    store.limit, store.bytes["new"] = 350 * MB, 200 * MB
    async with managed(store, *(entry(name, on_demand=True) for name in ("a", "b", "c", "new"))) as server:
        for name in ("a", "b", "c"):
            assert await server.rank(name) == 1
        tuner = server.manager.operations.tuner = SlowTuner("a")
        assert await server.rank("new") == 1
        assert server.states() == {"a": "ready", "b": "unloaded", "c": "unloaded", "new": "ready"}
        assert tuner.waits == 1


async def test_a_tuning_makes_room_and_is_done_later(store: FakeStore) -> None:
    """Its memory suffices, so no model is unloaded."""
    store.limit = 250 * MB
    tuning = HeldTuning(store, engine_bytes=100 * MB)
    async with (
        managed(store, entry("a", on_demand=True), entry("b", on_demand=True)) as server,
        tuning_in_background(server.manager, tuning.choose),
    ):
        assert await server.rank("a") == 1
        await tuning.begins()
        request = asyncio.create_task(server.rank("b"))
        await tuning.is_given_up()
        assert store.loads == ["a"]
        tuning.may_end.set()
        assert await request == 1
        assert server.states() == {"a": "ready", "b": "ready"}
        await tuning.begins()
        assert store.loads == ["a", "b"]
        assert tuning.models == ["a", "a"]


async def test_a_chosen_engine_that_is_loaded_makes_room(store: FakeStore) -> None:
    """It waits for the load of a new version, which needs its memory."""
    store.limit = 250 * MB

    def load(bundle: Bundle) -> Improvement:
        return FasterModel(store.load(bundle, Names("a")))

    def choose(_model: ModelEntry, running: ServedModel, _give_up: threading.Event) -> LoadChosen | None:
        return None if store.versions else partial(load, running.bundle)

    async with managed(store, entry("a")) as server:
        store.hold()
        async with tuning_in_background(server.manager, choose), asyncio.timeout(20):
            await store.loading(2)
            store.versions["a"] = 2
            change = asyncio.create_task(server.manager.load("a"))
            await asyncio.sleep(0)
            store.release()
            assert (await change).state.value == "ready"
            assert await server.rank() == 2
        assert store.loads == ["a"] * 3


async def test_a_tuning_that_waits_for_a_load_makes_room(store: FakeStore) -> None:
    """The load would wait for the tuning, and the tuning for the load."""
    store.limit = 150 * MB
    begun, may_end, limits = threading.Event(), threading.Event(), store.limits
    loop = asyncio.get_running_loop()

    def choose(*_: object) -> LoadChosen:
        begun.set()
        may_end.wait()
        return lambda: None

    def limits_and_end() -> Sequence[MemoryLimit]:
        """Let the thread of the tuning end while a load that needs room is running."""
        if begun.is_set():
            may_end.set()
            asyncio.run_coroutine_threadsafe(_others_go_on(), loop).result()
        return limits()

    store.limits = limits_and_end  # type: ignore[method-assign]
    async with (
        managed(store, entry("a", on_demand=True), entry("b", on_demand=True)) as server,
        tuning_in_background(server.manager, choose),
        asyncio.timeout(20),
    ):
        assert await server.rank("a") == 1
        await asyncio.to_thread(begun.wait)
        assert await server.rank("b") == 1
        assert server.states() == {"a": "unloaded", "b": "ready"}
