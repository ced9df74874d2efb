"""Changed entries and folders of models that are loaded by requests, fail to load, or are being unloaded."""

import asyncio
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from rerank_service.errors import NotReady
from rerank_service.lifecycle import model_operations
from rerank_service.lifecycle.managed_model import ManagedModel
from rerank_service.lifecycle.model_capacity import ModelCapacity
from rerank_service.lifecycle.model_control_errors import LoadFailed
from rerank_service.lifecycle.model_operations import RETRY_SECONDS, Outcome
from rerank_service.models.catalog.entry import ModelEntry
from rerank_service.models.served_model import ServedModel
from support.managed import FakeStore, ManagedServer, entry, managed
from support.running import HeldScore

V1, V2 = (entry("late", folder=folder, on_demand=True) for folder in ("v1", "v2"))


async def _change_to_broken_v2(store: FakeStore, server: ManagedServer) -> None:
    """Serve V1, change to V2, which does not load, and unload V1."""
    store.versions["v2"], store.broken = 2, {"v2"}
    assert await server.rank("late") == 1
    assert await server.manager.change_catalog((V1,), (V2,)) == ["late"]
    await server.manager.unload("late")


@pytest.mark.parametrize("seconds", [0.0, RETRY_SECONDS])
async def test_a_request_after_a_failed_change_loads_the_last_version(
    store: FakeStore, monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    """At once, and also when the time of the failed load is over. The new version stays the wanted one."""
    monkeypatch.setattr(model_operations, "RETRY_SECONDS", seconds)
    async with managed(store, V1) as server:
        await _change_to_broken_v2(store, server)
        assert await server.rank("late") == 1
        [model] = server.manager.models
        assert (model.entry, model.wanted, model.load_failed) == (V1, V2, True)
        store.broken.clear()
        await server.manager.refresh("late")
        assert await server.rank("late") == 2
        await server.manager.unload("late")
        assert await server.rank("late") == 2
        assert store.loads == ["v1", "v2", "v1", "v2", "v2"]
        assert not model.load_failed


async def test_a_version_that_is_repaired_while_its_model_is_unloaded(store: FakeStore) -> None:
    """The next request loads it."""
    async with managed(store, V1) as server:
        await _change_to_broken_v2(store, server)
        store.broken.clear()
        await server.manager.refresh("late")
        assert server.manager.statuses()[0].folder == V2.folder
        assert await server.rank("late") == 2
        assert store.loads == ["v1", "v2", "v2"]


async def test_a_version_that_changes_and_stays_broken_while_its_model_is_unloaded(store: FakeStore) -> None:
    """A request tries it once more, and then the version that has served."""
    async with managed(store, V1) as server:
        await _change_to_broken_v2(store, server)
        await server.manager.refresh("late")
        assert await server.rank("late") == 1
        assert store.loads == ["v1", "v2", "v2", "v1"]


async def test_a_request_after_failed_loads_of_both_versions(store: FakeStore) -> None:
    """It is rejected until one of them may be tried again. A repair of the wanted one is tried at once."""
    async with managed(store, V1) as server:
        await _change_to_broken_v2(store, server)
        store.broken.add("v1")
        for _ in range(2):
            with pytest.raises(NotReady, match="log of the server has the reason") as refused:
                await server.rank("late")
            assert 0 < (refused.value.retry_after or 0) <= RETRY_SECONDS
        assert server.states() == {"late": "failed"}
        assert server.manager.accepting == {"late": False}
        assert store.loads == ["v1", "v2", "v1"]
        store.broken.clear()
        await server.manager.refresh("late")
        assert server.manager.accepting == {"late": True}
        assert await server.rank("late") == 2


async def test_after_failed_loads_the_version_that_failed_first_is_tried_again(
    store: FakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So a version that is whole again serves, whichever it is."""
    async with managed(store, V1) as server:
        await _change_to_broken_v2(store, server)
        store.broken.add("v1")
        with pytest.raises(NotReady):
            await server.rank("late")
        monkeypatch.setattr(server.manager.models[0], "wanted_retry_at", 0.001)  # long ago
        store.broken.remove("v2")
        assert await server.rank("late") == 2
        assert store.loads == ["v1", "v2", "v1", "v2"]


async def test_a_request_while_models_before_it_change(store: FakeStore) -> None:
    """The names of all models have changed, and the load of an earlier model takes time: a later one is not loaded from
    the folder before, which may be gone."""
    before = (entry("a"), V1)
    after = (entry("a", folder="a2"), V2)
    store.versions.update(a2=2, v2=2)
    store.broken = {"v1"}
    async with managed(store, *before) as server:
        store.hold()
        change = asyncio.create_task(server.manager.change_catalog(before, after))
        await store.loading(2)
        request = asyncio.create_task(server.rank("late"))
        await server.until("loading", "late")
        store.release()
        assert await request == 2
        assert await change == []
        assert store.loads == ["a", "a2", "v2"]


async def test_an_operator_loads_the_last_version_after_a_failed_change(
    store: FakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is the wanted one then, also if a request is loading it already."""
    async with managed(store, V1) as server:
        await _change_to_broken_v2(store, server)
        store.hold()
        request = asyncio.create_task(server.rank("late"))
        await store.loading(3)
        joined, load_entry = asyncio.Event(), server.manager.operations.load

        def join(managed: ManagedModel, entry: ModelEntry) -> Outcome:
            joined.set()
            return load_entry(managed, entry)

        monkeypatch.setattr(server.manager.operations, "load", join)
        load = asyncio.create_task(server.manager.load("late", V1.folder))
        await joined.wait()
        store.release()
        await load
        assert await request == 1
        [model] = server.manager.models
        assert (model.wanted, model.load_failed) == (V1, False)
        assert store.loads == ["v1", "v2", "v1"]


async def test_a_load_of_an_operator_that_fails_delays_no_request(store: FakeStore) -> None:
    """Requests load the folder of the catalog, which has not failed."""
    store.broken = {"v3"}
    async with managed(store, V1) as server:
        with pytest.raises(LoadFailed):
            await server.manager.load("late", Path("/bundles/v3"))
        await asyncio.sleep(0)
        assert server.manager.accepting["late"]
        assert server.manager.statuses()[0].reason == "/bundles/v3 was not loaded: v3 is broken"
        assert await server.rank("late") == 1


async def test_the_weight_of_a_changed_entry_stays_after_a_failed_load(
    store: FakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when the last version is loaded again."""
    weights: list[float] = []
    run_lanes = ModelCapacity.run_lanes

    async def noted(capacity: ModelCapacity, model: ServedModel, weight: float) -> None:
        weights.append(weight)
        await run_lanes(capacity, model, weight)

    monkeypatch.setattr(ModelCapacity, "run_lanes", noted)
    store.versions["v2"], store.broken = 2, {"v2"}
    heavy = entry("late", folder="v2", on_demand=True, weight=3.0)
    async with managed(store, V1) as server:
        assert await server.rank("late") == 1
        assert await server.manager.change_catalog((V1,), (heavy,)) == ["late"]
        await server.manager.unload("late")
        assert await server.rank("late") == 1
        assert weights == [1.0, 3.0]
        assert server.manager.statuses()[0].weight == 3.0


@pytest.mark.parametrize("on_demand", [True, False])
async def test_the_time_of_loading_of_a_changed_entry_holds_after_a_failed_load(
    store: FakeStore, on_demand: bool
) -> None:
    """A model that is loaded at the start now stays loaded, and one on demand may be unloaded, and is loaded again."""
    before, after = entry("a", on_demand=not on_demand), entry("a", folder="v2", on_demand=on_demand)
    store.versions["v2"], store.broken = 2, {"v2"}
    async with managed(store, before) as server:
        assert await server.rank("a") == 1
        assert await server.manager.change_catalog((before,), (after,)) == [before.name]
        [model] = server.manager.models
        assert (model.is_idle, model.status().on_demand) == (on_demand, on_demand)
        await server.manager.unload("a")
        assert server.manager.accepting["a"] == on_demand
        store.broken.add("a")
        if on_demand:
            with pytest.raises(NotReady):
                await server.rank("a")
            store.broken.clear()
            await server.manager.refresh("a")
            assert await server.rank("a") == 2


async def test_a_shorter_time_until_unload_holds_after_a_failed_load(store: FakeStore) -> None:
    """It is a field of the changed entry, whose folder does not load."""
    before = entry("late", on_demand=True, unload_after=3600.0)
    after = entry("late", folder="v2", on_demand=True, unload_after=0.02)
    store.versions["v2"], store.broken = 2, {"v2"}
    async with managed(store, before) as server:
        assert await server.rank("late") == 1
        assert await server.manager.change_catalog((before,), (after,)) == [before.name]
        await server.until("unloaded", "late")


async def test_a_changed_weight_of_a_model_whose_new_files_do_not_load(store: FakeStore) -> None:
    """Its load is repeated, and fails again: the new weight does not repair the files."""
    before, after = entry("a"), entry("a", weight=3.0)
    async with managed(store, before) as server:
        store.versions["a"], store.broken = 2, {"a"}
        assert not await server.manager.refresh("a")
        assert await server.manager.change_catalog((before,), (after,)) == ["a"]
        assert server.manager.models[0].load_failed
        store.broken.clear()
        assert await server.manager.change_catalog((after,), (before,)) == []
        assert await server.rank("a") == 2
        assert store.loads == ["a"] * 4


async def test_a_weight_that_changes_while_a_broken_model_loads(store: FakeStore) -> None:
    """The result of the load is that of the entry with the new weight."""
    before, after = entry("a"), entry("a", weight=3.0)
    async with managed(store, before) as server:
        store.versions["a"], store.broken = 2, {"a"}
        store.hold()
        refresh = asyncio.create_task(server.manager.refresh("a"))
        await store.loading(2)
        change = asyncio.create_task(server.manager.change_catalog((before,), (after,)))
        async with asyncio.timeout(10):
            while server.manager.models[0].wanted != after:
                await asyncio.sleep(0)
        store.release()
        assert not await refresh
        assert await change == ["a"]
        assert store.loads == ["a"] * 3


async def _drain(store: FakeStore, server: ManagedServer, folder: str) -> tuple[HeldScore, list[asyncio.Task[object]]]:
    """Unload model `m` while a request holds its scores. Return the scores, and the request and the unload."""
    held = store.scores.pop(folder)
    held.hold()
    request: asyncio.Task[object] = asyncio.create_task(server.rank("m"))
    await held.started()
    unload: asyncio.Task[object] = asyncio.create_task(server.manager.unload("m"))
    await asyncio.sleep(0)
    return held, [request, unload]


@pytest.mark.parametrize("on_demand", [True, False])
async def test_a_model_that_is_being_unloaded_delays_no_change(store: FakeStore, on_demand: bool) -> None:
    """The other models of the catalog change. It changes when it is unloaded. The log says so once."""
    before = (entry("m", on_demand=on_demand), entry("a"))
    after = (entry("m", folder="v2", on_demand=on_demand), entry("a", folder="a2"))
    store.versions.update(v2=2, a2=2)
    async with managed(store, *before) as server:
        assert await server.rank("m") == 1
        held, tasks = await _drain(store, server, "m")
        with capture_logs() as logs:
            assert await server.manager.change_catalog(before, after) == []
            assert await server.rank("a") == 2
            assert server.states() == {"m": "draining", "a": "ready"}
            assert await server.manager.refresh("m")
            [waits] = [log for log in logs if log["event"] == "model change waits"]
            assert waits["model"] == "m"
        held.release()
        await asyncio.gather(*tasks)
        assert await server.manager.refresh("m")
        assert server.states()["m"] == ("unloaded" if on_demand else "ready")
        assert await server.rank("m") == 2
        assert server.manager.models[0].waiting is None


async def test_new_files_of_a_model_that_is_being_unloaded(store: FakeStore) -> None:
    """They are read when it is unloaded. It stays unloaded, because an operator has unloaded it."""
    async with managed(store, entry("m")) as server:
        held, tasks = await _drain(store, server, "m")
        assert await server.manager.refresh("m")
        held.release()
        await asyncio.gather(*tasks)
        assert await server.manager.refresh("m")
        assert server.states() == {"m": "unloaded"}
        assert server.manager.models[0].waiting is None
        assert store.loads == ["m"]


async def test_a_change_that_waits_and_does_not_load(store: FakeStore) -> None:
    """The result of its load is that of the call that applies it."""
    before, after = entry("m"), entry("m", folder="v2")
    store.versions["v2"], store.broken = 2, {"v2"}
    async with managed(store, before) as server:
        held, tasks = await _drain(store, server, "m")
        assert await server.manager.change_catalog((before,), (after,)) == []
        held.release()
        await asyncio.gather(*tasks)
        assert not await server.manager.refresh("m")
        assert server.states() == {"m": "failed"}
