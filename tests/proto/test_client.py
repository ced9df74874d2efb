"""rerank.client against a real server: callers get the original error, and no call stays open.

Covers client.py and the private modules _messages and _async_stream.
"""

import asyncio
import itertools
import socket
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from rerank.client import AsyncRerankClient, RerankClient
from rerank.v1 import rerank_pb2 as pb
from rerank_service.models.bundle import Bundle
from rerank_service.scheduling.deadline import Deadline
from rerank_service.scheduling.partial_cutoff import Cutoff
from support.both_clients import Method, in_thread
from support.limits import request_limits
from support.running import Running, Served, running, served

TIMES = 30
"""Number of runs of each race."""
MANY = 4000
"""More documents than gRPC's flow control accepts: the client is still writing when the server rejects the call."""


async def _finished(core: Running) -> None:
    """Wait until the server has no live request."""
    while not core.idle():
        await asyncio.sleep(0.001)


def _field(error: grpc.RpcError) -> str:
    """Return the field that the details of an error name."""
    metadata: Any = error.trailing_metadata()
    packed = dict(metadata)["grpc-status-details-bin"]
    bad_request = error_details_pb2.BadRequest()
    assert status_pb2.Status.FromString(packed).details[0].Unpack(bad_request)
    return str(bad_request.field_violations[0].field)


class Broken(BaseException):
    """An error that `except Exception` does not catch."""


def _raise_after(error: BaseException, *documents: str) -> Iterator[str]:
    yield from documents
    raise error


async def _raise_after_async(error: BaseException, *documents: Any) -> AsyncIterator[Any]:
    for document in documents:
        yield document
    raise error


@pytest.mark.parametrize("error", [KeyError("mine"), Broken("mine")])
async def test_errors_of_the_documents_are_raised(edges: Served, stream: Method, error: BaseException) -> None:
    """The same exception with its cause. The call is cancelled."""
    error.__cause__ = cause = ValueError("why")
    with pytest.raises(type(error), match="mine") as caught:
        await stream("0", _raise_after(error, *map(str, range(MANY))))
    assert caught.value is error
    assert caught.value.__cause__ is cause
    await _finished(edges.core)


@pytest.mark.parametrize("error", [KeyError("mine"), grpc.RpcError("mine"), Broken("mine")])
async def test_errors_of_an_asynchronous_source_are_raised(edges: Served, error: BaseException) -> None:
    """Even an RpcError of a call that the source makes."""
    with pytest.raises(type(error), match="mine") as caught:
        await edges.client.rerank_stream("0", _raise_after_async(error, "1", "2"))
    assert caught.value is error
    await _finished(edges.core)


async def test_a_cancelled_source_ends_the_call(edges: Served) -> None:
    """The CancelledError of the source is raised, and the call does not wait for more documents."""
    with pytest.raises(asyncio.CancelledError):
        await edges.client.rerank_stream("0", _raise_after_async(asyncio.CancelledError(), "1"))
    await _finished(edges.core)


async def test_lone_surrogates_become_the_replacement_character(methods: tuple[Method, Method]) -> None:
    """`json.loads` returns them for the JSON of JavaScript programs. UTF-8 cannot have them."""
    for method in methods:
        response = await method("0 \ud83d", ["1 \ud83d", "\ud83d\ude00"], return_documents=True, rank_fields=["\ud83d"])
        texts = {result.index: result.document.text for result in response.results}
        assert texts == {0: "1 \ufffd", 1: "😀"}


async def test_a_rejection_during_a_write_is_raised(stream: Method) -> None:
    """With status and details of the server, in every order of write and status."""
    for _ in range(TIMES):
        with pytest.raises(grpc.RpcError, match="served: small") as unknown:
            await stream("0", ["1 " * 500] * MANY, model="other")
        assert unknown.value.code() is grpc.StatusCode.NOT_FOUND
        with pytest.raises(grpc.RpcError) as invalid:
            await stream("0", ["1 " * 500] * MANY, top_n=-1)
        assert invalid.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert _field(invalid.value) == "top_n"


async def test_a_failed_write_does_not_hide_the_status(edges: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """grpc sets INTERNAL if a write fails before the status of the server arrives."""
    start = edges.client._stub.RerankStream

    def failing(**options: Any) -> Any:
        call: Any = start(**options)
        write = call.write

        async def write_header_then_fail(message: pb.RerankStreamRequest) -> None:
            if message.WhichOneof("part") == "header":
                await write(message)
            else:
                call._cython_call.set_internal_error("as a failed write does")
                await call._raise_for_status()

        call.write = write_header_then_fail
        return call

    monkeypatch.setattr(edges.client._stub, "RerankStream", failing)
    for _ in range(TIMES):
        with pytest.raises(grpc.aio.AioRpcError, match="served: small"):
            await edges.client.rerank_stream("0", ["1"], model="other")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await edges.client.rerank_stream("0", ["1"], top_n=-1)
        assert _field(caught.value) == "top_n"


async def test_a_rejection_cancels_a_waiting_source(edges: Served) -> None:
    """The error is raised, and the source is cancelled. It is not read if the error comes before the first document."""
    read, left = asyncio.Event(), asyncio.Event()

    async def documents() -> AsyncIterator[str]:
        read.set()
        try:
            yield "1"
            await asyncio.Event().wait()
        finally:
            left.set()

    with pytest.raises(grpc.aio.AioRpcError, match="served: small"):
        await edges.client.rerank_stream("0", documents(), model="other")
    assert left.is_set() or not read.is_set()


async def test_a_deadline_during_a_write_is_raised(small_model: Bundle) -> None:
    """Both clients raise DEADLINE_EXCEEDED while the server has no capacity for more documents."""
    limits = request_limits(room=16)
    async with running(small_model, limits=limits) as core, served(core) as edges:
        core.score.hold()
        async with AsyncRerankClient(edges.address, timeout=0.3) as client:
            calls = [client.rerank_stream("0", itertools.repeat("1 " * 500)) for _ in range(TIMES)]
            errors = await asyncio.gather(*calls, return_exceptions=True)
        with RerankClient(edges.address, timeout=0.3) as blocking:
            last = asyncio.to_thread(blocking.rerank_stream, "0", itertools.repeat("1 " * 500))
            errors += await asyncio.gather(last, return_exceptions=True)
        codes = [error.code() for error in errors if isinstance(error, grpc.RpcError)]
        assert codes == [grpc.StatusCode.DEADLINE_EXCEEDED] * len(errors)
        await _finished(core)


async def test_a_partial_ranking_during_a_write_is_returned(small_model: Bundle) -> None:
    """By both clients, for endless documents and for a source that waits."""
    limits = request_limits(room=16)
    cutoffs: asyncio.Queue[Cutoff] = asyncio.Queue()

    def recorded(deadline: Deadline) -> Cutoff:
        cutoffs.put_nowait(cutoff := Cutoff(deadline))
        return cutoff

    async with running(small_model, limits=limits) as core, served(core, cutoff=recorded) as edges:
        core.score.hold()
        with RerankClient(edges.address) as blocking:
            for _ in range(TIMES):
                calls = [
                    asyncio.create_task(method("0", source, partial_ok=True, top_n=1))
                    for method, source in (
                        (edges.client.rerank_stream, itertools.repeat("1 " * 500)),
                        (edges.client.rerank_stream, _stalled()),
                        (in_thread(blocking.rerank_stream), itertools.repeat("1 " * 500)),
                    )
                ]
                for _ in calls:
                    cutoff = await cutoffs.get()
                    while cutoff._end is None:  # not armed yet
                        await asyncio.sleep(0)
                    cutoff.trigger()
                for response in await asyncio.gather(*calls):
                    assert response.partial
                    assert response.received == sum(span.end - span.start for span in response.unscored)
        await _finished(core)


async def test_a_missing_server_is_unavailable() -> None:
    """Even while the client still has documents to write."""
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        async with AsyncRerankClient(f"127.0.0.1:{nobody.getsockname()[1]}") as client:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await client.rerank_stream("0", itertools.repeat("1"))
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


def _tasks() -> Counter[str]:
    """Count the running tasks by name. The server may replace a task by another one of the same name."""
    return Counter(getattr(task.get_coro(), "__qualname__", "") for task in asyncio.all_tasks())


async def _stalled() -> AsyncIterator[str]:
    yield "1"
    await asyncio.Event().wait()


@pytest.mark.parametrize("source", [partial(itertools.repeat, "1"), _stalled], ids=["writing", "waiting"])
async def test_cancellation_leaves_no_request_and_no_task(small_model: Bundle, source: Callable[[], Any]) -> None:
    """The request ends in the server, and the tasks of the client end."""
    async with running(small_model, limits=request_limits(room=16)) as core, served(core) as edges:
        await edges.client.rerank_stream("0", ["1"])  # creates the tasks that the channel keeps
        core.score.hold()
        before = _tasks()
        call = asyncio.create_task(edges.client.rerank_stream("0", source()))
        await core.score.started()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await _finished(core)
        core.score.release()
        while _tasks() - before:
            await asyncio.sleep(0.001)


async def test_errors_of_on_scores_are_raised(edges: Served, stream: Method) -> None:
    """Even an RpcError of another call. The call of the client is cancelled."""

    def refuse(scores: pb.PartialScores) -> None:
        raise error

    for error in (KeyError("mine"), grpc.aio.AioRpcError(grpc.StatusCode.ABORTED, details="mine")):
        with pytest.raises(type(error), match="mine") as caught:
            await stream("0", itertools.repeat("1"), on_scores=refuse)
        assert caught.value is error
        await _finished(edges.core)


async def test_documents_are_split_into_messages_by_bytes(stream: Method) -> None:
    """A server with a limit of 1 MiB accepts 300 documents of 40,000 characters, and one document of almost 1 MiB."""
    documents = ["1" * 40_000] * 299 + ["5 " + "é" * 510_000]
    response = await stream("0", documents, top_n=1)
    assert response.results[0].index == 299


async def test_documents_are_split_into_messages_by_number(stream: Method) -> None:
    """The index of a document counts over all messages."""
    response = await stream("0", (f"{number % 100} {number // 100}" for number in range(1000)))
    assert sorted(result.index for result in response.results) == list(range(1000))
    assert [result.index for result in response.results[:2]] == [999, 899]
