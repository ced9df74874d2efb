"""Load, swap and unload several models, with real schedulers and requests. Loads are fast, or wait for the test."""

import asyncio
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from rerank_service.errors import BundleInvalid, NotReady, UnknownModel
from rerank_service.lifecycle import model_operations
from rerank_service.lifecycle.model_control_errors import InCatalog, LoadConflict, LoadFailed, NameTaken, NoMemory
from rerank_service.lifecycle.model_operations import RETRY_SECONDS
from rerank_service.models.bundle import Bundle
from rerank_service.scheduling.started_threads import started_threads
from support.managed import MB, FakeStore, ManagedServer, entry, managed, unstarted
from support.running import HeldScore


async def test_the_start_loads_models_in_order_and_leaves_those_on_demand(store: FakeStore) -> None:
    """The first entry is the default model, also if it is not loaded."""
    async with managed(store, entry("late", on_demand=True), entry("b"), entry("a", aliases=("x",))) as server:
        assert store.loads == ["b", "a"]
        assert server.states() == {"late": "unloaded", "b": "ready", "a": "ready"}
        assert server.manager.ready
        assert server.manager.accepting == {"late": True, "b": True, "a": True, "x": True}
        assert server.registry.find("").name == "late"
        assert [info.state.value for info in server.registry.infos()] == ["unloaded", "ready", "ready"]
        with pytest.raises(UnknownModel, match="served: late, b, a, x"):
            await server.rank("rerank-v3.5")


async def test_one_model_that_fails_ends_the_start(store: FakeStore) -> None:
    """The error says which entry it is. The server is never ready."""
    store.limit = 150 * MB
    with pytest.raises(Exception, match=r"^models.yaml, line 2: bb needs 100000000 beside 100000000$"):
        async with managed(store, entry("a"), entry("bb"), entry("c")):
            raise AssertionError("unreachable")
    assert store.loads == ["a"]


async def test_a_request_that_loads_a_broken_model_during_the_start(store: FakeStore) -> None:
    """The log has the reason. The start does not wait for that load, so it does not fail."""
    store.broken = {"late"}
    async with unstarted(store) as server:
        with capture_logs() as logs:
            store.hold()
            start = asyncio.create_task(server.manager.start((entry("a"), entry("b"), entry("late", on_demand=True))))
            await store.loading(1)
            request = asyncio.create_task(server.rank("late"))
            await server.until("loading", "late")
            store.release()
            await start
            with pytest.raises(NotReady, match="log of the server has the reason"):
                await request
        assert store.loads == ["a", "late", "b"]
        assert [log["why"] for log in logs if log["event"] == "model not loaded"] == ["late is broken"]


async def test_requests_finish_on_the_version_that_accepted_them(store: FakeStore) -> None:
    """New requests go to the new version. The old one ends after its last request, and its memory is freed."""
    async with managed(store, entry("a"), entry("b")) as server:
        old = store.scores["a"]
        old.hold()
        accepted = asyncio.create_task(server.rank("a"))
        await old.started()
        store.versions["a"] = 2
        status = await server.manager.load("a")
        assert (status.state.value, status.live_requests, status.memory_bytes) == ("ready", 1, 100 * MB)
        assert await server.rank("a") == 2
        assert store.used() == 300 * MB
        old.release()
        assert await accepted == 1
        del old
        async with asyncio.timeout(10):
            while store.used() > 200 * MB:
                await asyncio.sleep(0.001)
        assert server.registry.find("a").work.totals().batches == 2


async def test_a_failed_load_leaves_the_old_version_and_says_why(store: FakeStore) -> None:
    """The reason is in the state, the log and the answer."""
    async with managed(store, entry("a")) as server:
        store.versions["a"], store.broken = 2, {"a"}
        with capture_logs() as logs, pytest.raises(LoadFailed, match="a is broken"):
            await server.manager.load("a")
        [status] = server.manager.statuses()
        assert (status.state.value, status.reason) == ("ready", "/bundles/a was not loaded: a is broken")
        assert [(log["event"], log["why"]) for log in logs] == [("model not loaded", "a is broken")]
        assert await server.rank("a") == 1
        store.broken.clear()
        assert (await server.manager.load("a")).reason == ""
        assert await server.rank("a") == 2


async def test_the_version_that_serves_is_not_loaded_again(store: FakeStore) -> None:
    """A folder with the digest that serves changes nothing."""
    async with managed(store, entry("a")) as server:
        await server.manager.load("a")
        assert (await server.manager.load("a", Path("/bundles/copy"))).folder == Path("/bundles/copy")
        assert store.loads == ["a"]


async def test_one_operation_of_a_model_at_a_time(store: FakeStore) -> None:
    """An equal load joins the first. Another folder, and an unload, are rejected. The end of a call ends no load."""
    async with managed(store, entry("a"), entry("b")) as server:
        store.hold()
        store.versions["a"] = 2
        first = asyncio.create_task(server.manager.load("a"))
        await store.loading(3)
        joined = asyncio.create_task(server.manager.load("a"))
        with pytest.raises(LoadConflict, match="busy"):
            await server.manager.load("a", Path("/bundles/other"))
        with pytest.raises(LoadConflict, match="busy"):
            await server.manager.unload("a")
        assert await server.rank("a") == 1
        first.cancel()
        store.release()
        assert (await joined).state.value == "ready"
        assert await server.rank("a") == 2
        assert store.loads == ["a", "b", "a"]


async def _held_request(store: FakeStore, server: ManagedServer, model: str) -> tuple[HeldScore, asyncio.Task[int]]:
    """Send a request to a model and hold its scores. Return both."""
    held = store.scores.pop(model)
    held.hold()
    accepted = asyncio.create_task(server.rank(model))
    await held.started()
    return held, accepted


async def test_an_unloaded_model_rejects_requests_until_it_is_loaded(store: FakeStore) -> None:
    """Accepted requests finish first. The memory is free when the call returns."""
    async with managed(store, entry("a"), entry("b")) as server:
        held, accepted = await _held_request(store, server, "b")
        unloading = asyncio.create_task(server.manager.unload("b"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert server.states()["b"] == "draining"
        with pytest.raises(NotReady, match="'b' is not loaded: ask the operator"):
            await server.rank("b")
        with pytest.raises(LoadConflict):
            await server.manager.load("b")
        held.release()
        del held
        assert await accepted == 1
        assert (await unloading).memory_bytes is None
        assert store.used() == 100 * MB
        assert (await server.manager.unload("b")).reason == "unloaded by an operator"
        assert server.manager.accepting == {"a": True, "b": False}
        assert (await server.manager.load("b")).state.value == "ready"
        assert await server.rank("b") == 1


async def test_the_first_request_loads_a_model_for_all(store: FakeStore) -> None:
    """Requests that wait share one load. It continues if a request is cancelled."""
    async with managed(store, entry("a"), entry("late", on_demand=True)) as server:
        store.hold()
        waiting = [asyncio.create_task(server.rank("late")) for _ in range(20)]
        await store.loading(2)
        waiting[0].cancel()
        assert server.states()["late"] == "loading"
        store.release()
        assert await asyncio.gather(*waiting[1:]) == [1] * 19
        assert store.loads == ["a", "late"]


async def test_a_request_waits_for_its_model_within_its_deadline(store: FakeStore) -> None:
    """The error says when to retry, and the load continues."""
    async with managed(store, entry("late", on_demand=True)) as server:
        store.hold()
        with pytest.raises(NotReady, match="still loading") as refused:
            await server.rank("late", seconds=0.05)
        assert refused.value.retry_after == 5
        store.release()
        assert await server.rank("late") == 1
        assert store.loads == ["late"]


async def test_requests_that_wait_for_a_load_when_the_server_drains(store: FakeStore) -> None:
    """They are rejected at once, so that clients use another replica, and the end does not wait for the load."""
    async with managed(store, entry("late", on_demand=True), entry("other", on_demand=True)) as server:
        store.hold()
        waiting = asyncio.create_task(server.rank("late"))
        await store.loading(1)
        server.admissions.close()
        for request in (waiting, server.rank("other")):
            with pytest.raises(NotReady, match="send the request to another replica"):
                await request


async def test_a_model_that_does_not_load_is_tried_again_later(store: FakeStore) -> None:
    """Errors of requests meanwhile say when to retry, and no load starts. They do not contain the reason."""
    async with managed(store, entry("a"), entry("late", on_demand=True)) as server:
        store.broken.add("late")
        for _ in range(3):
            with pytest.raises(NotReady, match="log of the server has the reason") as refused:
                await server.rank("late")
            assert 0 < (refused.value.retry_after or 0) <= RETRY_SECONDS
        assert store.loads == ["a", "late"]
        assert server.manager.accepting == {"a": True, "late": False}
        assert server.manager.statuses()[1].reason == "/bundles/late was not loaded: late is broken"
        store.broken.clear()
        await server.manager.refresh("late")  # its files have changed
        assert await server.rank("late") == 1


async def test_a_model_that_did_not_load_is_ready_again(store: FakeStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients that check health first would otherwise never send the request that loads it."""
    monkeypatch.setattr(model_operations, "RETRY_SECONDS", 0.01)
    async with managed(store, entry("a"), entry("late", on_demand=True)) as server:
        store.broken.add("late")
        with pytest.raises(NotReady):
            await server.rank("late")
        changed = asyncio.Event()
        server.registry.on_change(changed.set)
        async with asyncio.timeout(10):
            while not server.manager.accepting["late"]:
                await changed.wait()
                changed.clear()
        assert server.manager.statuses()[1].reason == "/bundles/late was not loaded: late is broken"
        store.broken.clear()
        assert await server.rank("late") == 1


async def test_a_changed_entry_of_a_model_that_did_not_load(store: FakeStore) -> None:
    """The next request loads the new folder, without a wait."""
    before, after = entry("late", on_demand=True), entry("late", folder="good", on_demand=True)
    async with managed(store, before) as server:
        store.broken.add("late")
        with pytest.raises(NotReady):
            await server.rank("late")
        await server.manager.change_catalog((before,), (after,))
        assert server.manager.accepting == {"late": True}
        assert await server.rank("late") == 1


async def test_a_shorter_time_until_unload_holds_at_once(store: FakeStore) -> None:
    """Not after the time of the entry before."""
    before, after = (entry("late", on_demand=True, unload_after=seconds) for seconds in (3600.0, 0.02))
    async with managed(store, before) as server:
        assert await server.rank("late") == 1
        await server.manager.change_catalog((before,), (after,))
        await server.until("unloaded", "late")


async def test_an_idle_model_is_unloaded(store: FakeStore) -> None:
    """The next request loads it again, and totals continue."""
    async with managed(store, entry("late", on_demand=True, unload_after=0.02)) as server:
        for loads in (1, 2):
            assert await server.rank("late") == 1
            await server.until("unloaded", "late")
            assert server.registry.find("late").work.totals().batches == loads
        assert server.manager.statuses()[0].reason == "no request in 0.02 s"
        assert store.loads == ["late", "late"]


async def test_room_is_made_by_the_idle_model_that_was_used_longest_ago(store: FakeStore) -> None:
    """Models of the start, and models with requests, stay."""
    store.limit = 350 * MB
    names = ("x", "y", "z")
    async with managed(store, entry("a"), *(entry(name, on_demand=True) for name in names)) as server:
        await server.rank("x")
        await server.rank("y")
        await server.rank("x")
        assert await server.rank("z") == 1
        assert server.states() == {"a": "ready", "x": "ready", "y": "unloaded", "z": "ready"}
        assert server.manager.statuses()[2].reason == "model 'z' needs its memory"


async def test_room_is_made_for_the_engine_in_place_of_one_that_fails(store: FakeStore) -> None:
    """It needs more memory than the engine of the tuning, which does not load."""
    store.limit, store.other_bytes["z"] = 350 * MB, 200 * MB
    names = ("x", "y", "z")
    async with managed(store, *(entry(name, on_demand=True) for name in names)) as server:
        for name in names:
            assert await server.rank(name) == 1
        assert server.states() == {"x": "unloaded", "y": "ready", "z": "ready"}


async def test_an_engine_in_place_of_one_that_fails_may_not_fit(store: FakeStore) -> None:
    """The memory of the loaded models counts, as before any load."""
    store.limit, store.other_bytes["z"] = 350 * MB, 300 * MB
    async with managed(store, entry("a")) as server:
        with pytest.raises(NoMemory, match="z needs 300000000 beside 100000000"):
            await server.manager.load("z", Path("/bundles/z"))
        assert store.loads == ["a"]


async def test_a_load_waits_for_the_memory_of_a_removed_model(store: FakeStore) -> None:
    """The removed model finishes its requests first."""
    store.limit = 250 * MB
    a, old, new = entry("a"), entry("old"), entry("new")
    async with managed(store, a, old) as server:
        score = store.scores["old"]
        score.hold()
        accepted = asyncio.create_task(server.rank("old"))
        await score.started()
        change = asyncio.create_task(server.manager.change_catalog((a, old), (a, new)))
        await server.until("loading", "new")
        score.release()
        del score
        assert await accepted == 1
        await change
        assert server.states() == {"a": "ready", "new": "ready"}


async def test_a_load_that_cannot_fit_is_refused_before_it_starts(store: FakeStore) -> None:
    """The model that serves continues, beside which a second version has no room."""
    store.limit = 350 * MB
    async with managed(store, entry("a"), entry("b")) as server:
        store.versions["a"], store.bytes["a"] = 2, 200 * MB
        with pytest.raises(NoMemory, match="a needs 200000000 beside 200000000"):
            await server.manager.load("a")
        assert store.loads == ["a", "b"]
        assert await server.rank("a") == 1


async def test_an_operator_adds_a_model(store: FakeStore) -> None:
    """A load that fails leaves no trace. Names of other models are taken."""
    async with managed(store, entry("a", aliases=("x",))) as server:
        store.broken.add("new")
        with pytest.raises(LoadFailed):
            await server.manager.load("new", Path("/bundles/new"))
        assert list(server.states()) == ["a"]
        with pytest.raises(NameTaken, match="'x' is an alias of model 'a'"):
            await server.manager.load("x", Path("/bundles/new"))
        with pytest.raises(UnknownModel, match="it has: a"):
            await server.manager.load("new")
        store.broken.clear()
        await server.manager.load("new", Path("/bundles/new"))
        assert await server.rank("new") == 1


async def _removal_during_a_request(
    store: FakeStore, server: ManagedServer
) -> tuple[HeldScore, asyncio.Task[int], asyncio.Task[None]]:
    """Load a model, send it a request whose scores are held, and start its removal. Return these three."""
    await server.manager.load("new", Path("/bundles/new"))
    held, accepted = await _held_request(store, server, "new")
    removing = asyncio.create_task(server.manager.remove("new"))
    await asyncio.sleep(0)
    return held, accepted, removing


async def test_an_operator_removes_an_added_model(store: FakeStore) -> None:
    """Accepted requests finish first. Afterwards the name is free, and nothing of the model is left."""
    async with managed(store, entry("a")) as server:
        held, accepted, removing = await _removal_during_a_request(store, server)
        await asyncio.sleep(0)
        assert server.states() == {"a": "ready", "new": "draining"}
        with pytest.raises(LoadConflict):
            await server.manager.load("new", Path("/bundles/other"))
        removing.cancel()  # the end of a call does not end the removal
        held.release()
        del held
        assert await accepted == 1
        async with asyncio.timeout(10):
            while "new" in server.states():
                await asyncio.sleep(0)
        assert store.used() == 100 * MB
        with pytest.raises(UnknownModel, match="served: a"):
            await server.rank("new")
        with pytest.raises(UnknownModel, match="it has: a"):
            await server.manager.remove("new")
        await server.manager.load("new", Path("/bundles/new"))
        await server.manager.unload("new")
        await server.manager.remove("new")  # a model without memory
        assert server.states() == {"a": "ready"}


async def test_a_new_version_of_a_model_that_is_being_removed_is_not_loaded(store: FakeStore) -> None:
    """The watch of the folders sees new files while the last request of the model runs."""
    async with managed(store, entry("a")) as server:
        held, accepted, removing = await _removal_during_a_request(store, server)
        store.versions["new"] = 2
        refreshing = asyncio.create_task(server.manager.refresh("new"))
        await asyncio.sleep(0)
        held.release()
        del held
        assert await accepted == 1
        await removing
        assert await refreshing
        assert store.loads == ["a", "new"]
        assert server.states() == {"a": "ready"}


async def test_a_load_that_begins_now_prevents_a_removal(store: FakeStore) -> None:
    """The model is still unloaded when the removal looks."""
    async with managed(store, entry("a")) as server:
        await server.manager.load("new", Path("/bundles/new"))
        await server.manager.unload("new")
        loading = asyncio.ensure_future(server.manager.load("new"))
        removing = asyncio.ensure_future(server.manager.remove("new"))
        outcomes = await asyncio.gather(loading, removing, return_exceptions=True)
        assert sum(isinstance(outcome, Exception) for outcome in outcomes) == 1
        assert set(server.states()) - {"a"} == ({"new"} if isinstance(outcomes[1], Exception) else set())


async def test_models_of_the_catalog_are_not_removed(store: FakeStore) -> None:
    """Also not with a version that an operator has loaded, nor if the catalog gets the model meanwhile."""
    a, new = entry("a"), entry("new")
    async with managed(store, a) as server:
        await server.manager.load("a", Path("/bundles/other"))
        with pytest.raises(InCatalog, match=r"'a' is one of the server's settings \(models.yaml, line 1\)"):
            await server.manager.remove("a")
        await server.manager.load("new", Path("/bundles/new"))
        held = store.scores["new"]
        held.hold()
        request = asyncio.create_task(server.rank("new"))
        await held.started()
        removing = asyncio.create_task(server.manager.remove("new"))
        change = asyncio.create_task(server.manager.change_catalog((a,), (a, new)))
        async with asyncio.timeout(10):
            while not server.manager.models[-1].in_catalog:
                await asyncio.sleep(0)
        held.release()
        assert await request == 1
        await change
        with pytest.raises(LoadConflict, match="'new' is needed again"):
            await removing
        assert await server.manager.refresh("new")  # the next look of the watch
        assert server.states() == {"a": "ready", "new": "ready"}


async def test_a_catalog_with_a_model_that_an_operator_is_loading(store: FakeStore) -> None:
    """If the load of the operator fails, the model stays, with the bundle of the catalog."""
    a, new = entry("a"), entry("new", folder="good")
    async with managed(store, a) as server:
        store.broken.add("bad")
        store.hold()
        load = asyncio.create_task(server.manager.load("new", Path("/bundles/bad")))
        await store.loading(2)
        change = asyncio.create_task(server.manager.change_catalog((a,), (a, new)))
        await asyncio.sleep(0)
        store.release()
        with pytest.raises(LoadFailed):
            await load
        await change
        assert server.states() == {"a": "ready", "new": "ready"}
        assert await server.rank("new") == 1


async def test_a_changed_catalog(store: FakeStore) -> None:
    """Removed entries are unloaded, new ones are loaded, and weights, limits and aliases change without a load."""
    a, b, c = entry("a", aliases=("x",)), entry("b"), entry("c")
    async with managed(store, a, b) as server:
        changed = entry("a", aliases=("y",), weight=3.0, max_live_documents=0)
        assert await server.manager.change_catalog((a, b), (c, changed)) == []
        assert store.loads == ["a", "b", "c"]
        assert server.manager.accepting == {"c": True, "a": True, "y": True}
        assert server.registry.find("").name == "c"
        assert server.manager.statuses()[1].weight == 3.0
        with pytest.raises(UnknownModel):
            await server.rank("x")
        async with asyncio.timeout(10):
            while store.used() > 200 * MB:
                await asyncio.sleep(0.001)
        moved = entry("a", folder="a2")
        store.versions["a2"] = 7
        await server.manager.change_catalog((c, changed), (c, moved))
        assert await server.rank("a") == 7
        await server.manager.change_catalog((c, moved), (c, entry("a", folder="a2", on_demand=True)))
        assert await server.rank("a") == 7
        assert store.loads == ["a", "b", "c", "a2"]


async def test_lines_that_move_in_the_models_file_change_no_model(store: FakeStore) -> None:
    """Models that an operator has loaded or unloaded stay so. Messages have the new line."""
    before = (entry("a", place="models.yaml, line 1"), entry("b", place="models.yaml, line 2"))
    after = tuple(replace(each, place=f"{each.place}0") for each in before)
    store.versions["a2"] = 2
    async with managed(store, *before) as server:
        await server.manager.load("a", Path("/bundles/a2"))
        await server.manager.unload("b")
        assert await server.manager.change_catalog(before, after) == []
        assert server.states() == {"a": "ready", "b": "unloaded"}
        assert await server.rank("a") == 2
        assert [managed.wanted.place for managed in server.manager.models] == [each.place for each in after]
        assert store.loads == ["a", "b", "a2"]


async def test_lines_that_move_while_an_operator_loads(store: FakeStore) -> None:
    """The folder of the operator stays the wanted one."""
    before, after = entry("a", place="models.yaml, line 1"), entry("a", place="models.yaml, line 7")
    store.versions["a2"] = 2
    async with managed(store, before) as server:
        store.hold()
        load = asyncio.create_task(server.manager.load("a", Path("/bundles/a2")))
        await store.loading(2)
        await server.manager.change_catalog((before,), (after,))
        store.release()
        await load
        [model] = server.manager.models
        assert model.wanted.folder == Path("/bundles/a2")
        assert (model.wanted.place, model.entry.place) == (after.place, after.place)
        assert not model.load_failed


async def test_a_new_folder_that_does_not_load_leaves_the_old_one(store: FakeStore) -> None:
    """It is tried again when its files change."""
    a, moved = entry("a"), entry("a", folder="a2", aliases=("x",))
    async with managed(store, a) as server:
        store.broken, store.versions["a2"] = {"a2"}, 2
        assert await server.manager.change_catalog((a,), (moved,)) == ["a"]
        [status] = server.manager.statuses()
        assert (status.folder, status.reason) == (Path("/bundles/a"), "/bundles/a2 was not loaded: a2 is broken")
        assert await server.rank("x") == 1
        store.broken.clear()
        await server.manager.refresh("a")
        assert await server.rank("a") == 2


async def test_an_operator_loads_the_folder_of_the_catalog_again(store: FakeStore) -> None:
    """It is that of the entry whose load has failed, and not the one that serves."""
    a, moved = entry("a"), entry("a", folder="a2")
    async with managed(store, a) as server:
        store.broken, store.versions["a2"] = {"a2"}, 2
        await server.manager.change_catalog((a,), (moved,))
        store.broken.clear()
        status = await server.manager.load("a")
        assert (status.folder, status.reason) == (Path("/bundles/a2"), "")
        assert await server.rank("a") == 2


async def test_readiness(store: FakeStore) -> None:
    """An operator switches it off and on. It is off when no model accepts requests, and while the server drains."""
    async with managed(store, entry("a")) as server:
        changes: list[bool] = []
        server.registry.on_change(lambda: changes.append(server.manager.ready))
        await server.manager.set_readiness(ready=False)
        assert await server.rank("a") == 1
        await server.manager.set_readiness(ready=True)
        await server.manager.unload("a")
        await server.manager.load("a")
        server.manager.drain()
        assert [ready for ready, before in zip(changes, [None, *changes], strict=False) if ready != before] == [
            False,
            True,
            False,
            True,
            False,
        ]
        with pytest.raises(NotReady, match="stopping"):
            await server.manager.load("a")


async def test_a_lane_that_fails_ends_the_server(store: FakeStore) -> None:
    """Its error is raised where the models are managed."""

    class LaneFailed(Exception):
        """The error of a lane."""

    async def fail(*_: object) -> None:
        raise LaneFailed

    with pytest.raises(LaneFailed):
        async with managed(store, entry("a")) as server:
            server.manager.operations.start_task(fail())
            await asyncio.Event().wait()


async def test_an_unload_needs_no_new_thread(store: FakeStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the limit of threads (pids of a container), an error would end the server, which serves other models."""

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    asyncio.get_running_loop().set_default_executor(started_threads(1, "asyncio"))  # as the server does
    async with managed(store, entry("a"), entry("b")) as server:
        with monkeypatch.context() as limited:
            limited.setattr(threading.Thread, "start", refuse)
            await server.manager.unload("a")
            assert server.states() == {"a": "unloaded", "b": "ready"}
            assert await server.rank("b") == 1
            with pytest.raises(LoadFailed, match="can't start new thread"):
                await server.manager.load("a")
        assert await server.rank("b") == 1


async def test_an_entry_has_the_name_in_its_manifest(store: FakeStore, small_model: Bundle) -> None:
    """If the entry has none. Without a readable manifest, the start ends."""
    unnamed = replace(entry("a"), name=None, folder=small_model.folder)
    async with managed(store, unnamed) as server:
        assert server.states() == {"small": "ready"}
    with pytest.raises(BundleInvalid):
        async with managed(store, replace(unnamed, folder=Path("/nowhere"))):
            raise AssertionError("unreachable")
