"""The gauges of live requests while a version is replaced, and while a model is unloaded."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from rerank_service.metrics.core_state import ModelState, core_state
from support.managed import FakeStore, ManagedServer, entry, managed


@asynccontextmanager
async def _running_request(store: FakeStore, server: ManagedServer) -> AsyncIterator[None]:
    """Let the version that serves run a request during the block."""
    held = store.scores["a"]
    held.hold()
    request = asyncio.create_task(server.rank("a"))
    await held.started()
    yield
    held.release()
    assert await request == 1


def _state(server: ManagedServer) -> ModelState:
    [state] = core_state(server.registry, server.admissions, ready=True).models
    return state


async def test_requests_on_a_replaced_version_count(store: FakeStore) -> None:
    """Beside those on the new version. Without them, a long stream would look like a server that hangs."""
    async with managed(store, entry("a")) as server:
        async with _running_request(store, server):
            store.versions["a"] = 2
            await server.manager.load("a")
            assert (_state(server).waiting, _state(server).running) == (0, 1)
            new = store.scores["a"]
            new.hold()
            request = asyncio.create_task(server.rank("a"))
            await new.started()
            assert _state(server).running == 2
            new.release()
            assert await request == 2
        assert _state(server).running == 0


async def test_requests_on_a_model_that_is_being_unloaded_count(store: FakeStore) -> None:
    """Until the last one has ended. Then the model has no gauges."""
    async with managed(store, entry("a")) as server:
        async with _running_request(store, server):
            unload = asyncio.create_task(server.manager.unload("a"))
            while server.states() != {"a": "draining"}:
                await asyncio.sleep(0)
            state = _state(server)
            assert (state.info.name, state.running, state.memory_bytes) == ("a", 1, None)
            assert state.backlog_seconds > 0
        await unload
        assert not core_state(server.registry, server.admissions, ready=True).models
