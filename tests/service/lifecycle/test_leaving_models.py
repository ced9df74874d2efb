"""Names that pass from one model to another when the catalog changes, without a lost request."""

import asyncio
import random
from itertools import pairwise

import pytest

from rerank_service.errors import NotReady
from rerank_service.metrics.core_state import core_state
from rerank_service.models.catalog.entry import ModelEntry
from rerank_service.scheduling.caller import Caller
from support.managed import MB, FakeStore, ManagedServer, entry, managed

ONLY_X = Caller(models=frozenset({"x"}))


async def test_a_name_passes_when_its_new_model_is_loaded(store: FakeStore) -> None:
    """A renamed model, its alias and the default serve until then. Keys may use them, and health checks see them."""
    before, after = entry("a", aliases=("x",)), entry("b", aliases=("a", "x"))
    store.versions["b"] = 2
    async with managed(store, before) as server:
        store.hold()
        change = asyncio.create_task(server.manager.change_catalog((before,), (after,)))
        await store.loading(2)
        assert [await server.rank(name) for name in ("a", "x", "")] == [1, 1, 1]
        assert await server.rank("x", caller=ONLY_X) == 1
        assert server.manager.accepting == {"b": False, "a": True, "x": True}
        assert server.manager.ready
        state = core_state(server.registry, server.admissions, ready=True)
        assert ([each.info.name for each in state.models], list(state.totals)) == (["a"], ["b", "a"])
        store.release()
        await change
        assert [await server.rank(name) for name in ("a", "x", "", "b")] == [2, 2, 2, 2]
        async with asyncio.timeout(10):
            while store.used() > 100 * MB:
                await asyncio.sleep(0.001)


async def test_an_alias_of_a_model_that_stays(store: FakeStore) -> None:
    """The new model of the alias is not loaded yet. Keys with the alias alone may use it meanwhile."""
    before, after = (entry("a", aliases=("x",)),), (entry("a"), entry("b", aliases=("x",)))
    store.versions["b"] = 2
    async with managed(store, *before) as server:
        store.hold()
        change = asyncio.create_task(server.manager.change_catalog(before, after))
        await store.loading(2)
        assert await server.rank("x", caller=ONLY_X) == 1
        store.release()
        await change
        assert await server.rank("x", caller=ONLY_X) == 2


async def test_aliases_of_loaded_models_change_at_once(store: FakeStore) -> None:
    """Also if one of the models changes to another folder, which takes time."""
    before = (entry("a", aliases=("x",)), entry("b", aliases=("y",)))
    after = (entry("a", folder="a2", aliases=("y",)), entry("b", aliases=("x",)))
    store.versions.update(b=2, a2=3)
    async with managed(store, *before) as server:
        store.hold()
        change = asyncio.create_task(server.manager.change_catalog(before, after))
        await store.loading(3)
        assert [await server.rank(name) for name in ("a", "y", "b", "x")] == [1, 1, 2, 2]
        store.release()
        await change
        assert [await server.rank(name) for name in ("a", "y")] == [3, 3]


async def test_a_successor_that_does_not_load(store: FakeStore) -> None:
    """The earlier model serves on, until the successor is repaired, or the catalog has the earlier one again."""
    before, after = (entry("a"),), (entry("b", aliases=("a",)),)
    store.versions["b"], store.broken = 2, {"b"}
    async with managed(store, *before) as server:
        await server.manager.change_catalog(before, after)
        assert server.states() == {"b": "failed"}
        assert server.manager.ready
        assert await server.rank("a") == 1
        await server.manager.change_catalog(after, before)
        assert await server.rank("a") == 1
        await server.manager.change_catalog(before, after)
        assert store.loads == ["a", "b", "b"]
        store.broken.clear()
        await server.manager.refresh("b")
        assert [await server.rank(name) for name in ("a", "b", "")] == [2, 2, 2]
        async with asyncio.timeout(10):
            while store.used() > 100 * MB:
                await asyncio.sleep(0.001)


async def test_a_name_of_a_model_on_demand(store: FakeStore) -> None:
    """It is loaded by a request for its name, also if that passes to a model that is still loading."""
    before, after = (
        (entry("a"), entry("late", on_demand=True, aliases=("x",))),
        (entry("a"), entry("b", aliases=("x",))),
    )
    store.versions.update(late=2, b=3)
    async with managed(store, *before) as server:
        store.broken.add("b")
        await server.manager.change_catalog(before, after)
        assert await server.rank("x") == 2
        store.broken.clear()
        await server.manager.refresh("b")
        assert await server.rank("x") == 3


async def test_a_model_on_demand_that_is_loaded_at_the_start_now(store: FakeStore) -> None:
    """Requests wait for its load, as before."""
    before, after = entry("late", on_demand=True), entry("late")
    async with managed(store, entry("a"), before) as server:
        store.hold()
        change = asyncio.create_task(server.manager.change_catalog((entry("a"), before), (entry("a"), after)))
        await store.loading(2)
        request = asyncio.create_task(server.rank("late"))
        store.release()
        await change
        assert await request == 1
        await server.manager.unload("late")
        assert not server.manager.accepting["late"]


async def test_drain_while_a_leaving_model_loads(store: FakeStore) -> None:
    """A request that waits for its load is rejected at once."""
    before, after = (entry("a", on_demand=True, aliases=("x",)),), (entry("b", aliases=("x",)),)
    async with managed(store, *before) as server:
        store.hold()
        request = asyncio.create_task(server.rank("x"))
        await store.loading(1)
        change = asyncio.create_task(server.manager.change_catalog(before, after))
        async with asyncio.timeout(10):
            while "b" not in server.states():
                await asyncio.sleep(0)
        server.admissions.close()
        with pytest.raises(NotReady, match="draining"):
            await request
        store.release()
        await change


def _random_catalog(choice: random.Random) -> tuple[ModelEntry, ...]:
    """Return one to four models that share the aliases p and q. A bundle of number 5 does not load."""
    names = choice.sample(["m1", "m2", "m3", "m4"], choice.randint(1, 4))
    owners = {alias: choice.choice(names) for alias in ("p", "q")}
    return tuple(
        entry(
            name,
            folder=f"v{choice.randint(1, 5)}",
            aliases=tuple(alias for alias, owner in owners.items() if owner == name),
        )
        for name in names
    )


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_any_changes_of_the_catalog(store: FakeStore, seed: int) -> None:
    """No request for a name that all catalogs have fails, whichever models are added, removed, renamed or broken."""
    choice = random.Random(seed)
    store.versions.update({f"v{number}": number for number in range(1, 6)})
    catalogs = [_random_catalog(choice) for _ in range(10)]
    changed = asyncio.Event()

    async def send(server: ManagedServer, name: str) -> None:
        while not changed.is_set():
            await server.rank(name)

    async with managed(store, *catalogs[0]) as server:
        store.broken.add("v5")
        workers = [asyncio.create_task(send(server, name)) for name in ("p", "q", "")]
        for before, after in pairwise(catalogs):
            await server.manager.change_catalog(before, after)
            assert list(server.states()) == [each.name for each in after]
        changed.set()
        await asyncio.gather(*workers)
