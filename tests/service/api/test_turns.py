"""Requests that wait for the thread of long work or its end, or for their turn to be parsed, end at their deadline."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from types import ModuleType

import grpc
import pytest

from rerank.v1 import rerank_pb2 as pb
from rerank.v1 import rerank_pb2_grpc as pb_grpc
from rerank_service.api.grpc import rerank_v1
from rerank_service.api.http import routes
from rerank_service.errors import DeadlinePassed
from rerank_service.long_work import MANY_ITEMS, in_thread, parsing_turn
from support.http import post, works
from support.running import Running, Served, served

_MANY = MANY_ITEMS + 50
_SECONDS = 0.2
_LARGE = 2 * 1024 * 1024


@asynccontextmanager
async def _thread_taken() -> AsyncIterator[None]:
    """Let the long work of another request take the thread during the block."""
    release = threading.Event()
    other = asyncio.create_task(in_thread(release.wait, MANY_ITEMS))
    await asyncio.sleep(0)  # it takes its turn
    try:
        yield
    finally:
        release.set()
        await other


@contextmanager
def _held(monkeypatch: pytest.MonkeyPatch, module: ModuleType, name: str) -> Iterator[None]:
    """Let a function, which is called in a thread, take as long as the block."""
    release = threading.Event()
    with monkeypatch.context() as patched:
        patched.setattr(module, name, lambda *_: release.wait())
        try:
            yield
        finally:
            release.set()


def _parsing_taken() -> AbstractAsyncContextManager[None]:
    """Let another large message be parsed during the block."""
    return parsing_turn(_LARGE)


async def test_documents_that_wait_to_be_measured(core: Running) -> None:
    """The request has no place in the queue yet, so nothing else would end it."""
    async with _thread_taken():
        with pytest.raises(DeadlinePassed):
            await core.rank("0", *map(str, range(_MANY)), seconds=_SECONDS)
    assert core.idle()


async def test_rest_documents_that_wait_to_be_decoded(edges: Served) -> None:
    """The status is 504, while the thread is still taken."""
    body = {"query": "0", "documents": list(map(str, range(_MANY)))}
    async with _thread_taken():
        response = await post(edges, body, **{"x-request-timeout": f"{_SECONDS}"})
    assert (response.status_code, response.json()["error"]["type"]) == (504, "timeout_error")
    assert await works(edges)


async def test_rest_results_that_take_long_to_encode(edges: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ranking is ready, but too late."""
    body = {"query": "0", "documents": list(map(str, range(_MANY)))}
    with _held(monkeypatch, routes, "_encoded"):
        assert (await post(edges, body, **{"x-request-timeout": "1"})).status_code == 504
    assert await works(edges)


@pytest.mark.parametrize(
    ("taken", "text"), [(_parsing_taken, "0" * _LARGE), (_thread_taken, "0")], ids=["to be parsed", "to be measured"]
)
async def test_grpc_messages_that_wait(
    core: Running, taken: Callable[[], AbstractAsyncContextManager[None]], text: str
) -> None:
    """The deadline is the server's: a client that sets one would end the call itself."""
    documents = [pb.Document(text=text), *(pb.Document(text=str(number)) for number in range(_MANY))]
    async with served(core, default_timeout=_SECONDS, max_message_bytes=2 * _LARGE) as edges:
        stub: pb_grpc.RerankAsyncStub = pb_grpc.RerankStub(edges.client._channel)
        async with taken():
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await stub.Rerank(pb.RerankRequest(query="0", documents=documents))
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        again = await stub.Rerank(pb.RerankRequest(query="0", documents=documents[-1:]), timeout=60)
        assert len(again.results) == 1


async def test_grpc_results_that_take_long_to_build(core: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ranking is ready, but too late."""
    documents = [pb.Document(text=str(number)) for number in range(_MANY)]
    async with served(core, default_timeout=1.0) as edges:
        stub: pb_grpc.RerankAsyncStub = pb_grpc.RerankStub(edges.client._channel)
        with _held(monkeypatch, rerank_v1, "response_from"):
            call = stub.Rerank(pb.RerankRequest(query="0", documents=documents))
            assert await call.code() is grpc.StatusCode.DEADLINE_EXCEEDED
