"""Documents of a repeated call: which are sent again, and which cannot be."""

import asyncio
import itertools
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, closing
from typing import Any

import grpc
import pytest

from rerank._async_stream import rank_stream as rank_stream_async
from rerank._async_stream import stream_responses as stream_responses_async
from rerank._blocking_stream import rank_stream, stream_responses
from rerank._lifetime import AsyncLifetime, Lifetime
from rerank._messages import stream_header
from rerank._retries import RetryPolicy
from rerank.client import AsyncRerankClient, RerankClient
from rerank.errors import (
    Unavailable,
)
from rerank.v1 import rerank_pb2 as pb
from rerank.v1 import rerank_pb2_grpc as pb_grpc
from support.both_clients import Call
from support.running import Served
from support.scripted import Reply, scripted

DOWN = Reply(grpc.StatusCode.UNAVAILABLE)
OK = Reply()


async def test_a_list_is_sent_again_from_its_beginning(call: Callable[..., Call]) -> None:
    """All documents, in each try."""
    documents = [str(number) for number in range(600)]
    with scripted(DOWN, OK) as server:
        assert (await call(server)("rerank_stream", "q", documents)).model == "scripted"
        assert [seen.documents for seen in server.calls] == [documents] * 2


async def test_an_iterator_that_was_read_is_not_sent_again(call: Callable[..., Call]) -> None:
    """Its documents would be missing."""
    with scripted(DOWN) as server:
        with pytest.raises(Unavailable):
            await call(server)("rerank_stream", "q", iter(["1", "2"]))
        assert [seen.documents for seen in server.calls] == [["1", "2"]]


async def test_an_asynchronous_collection_is_sent_again() -> None:
    """An asynchronous iterator is not."""

    class Collection:
        async def __aiter__(self) -> AsyncIterator[str]:
            yield "1"
            yield "2"

    with scripted(DOWN, OK, DOWN) as server:
        async with AsyncRerankClient(server.address) as client:
            await client.rerank_stream("q", Collection())
            assert [seen.documents for seen in server.calls] == [["1", "2"]] * 2
            with pytest.raises(Unavailable):
                await client.rerank_stream("q", aiter(Collection()))


async def test_a_stream_is_not_repeated_after_its_first_scores(call: Callable[..., Call]) -> None:
    """The caller would get them twice."""
    scores: list[int] = []

    def keep(part: pb.PartialScores) -> None:
        scores.extend(score.index for score in part.scores)

    with scripted(Reply(grpc.StatusCode.UNAVAILABLE, score_first=True)) as server, pytest.raises(Unavailable):
        await call(server)("rerank_stream", "q", ["d"], on_scores=keep)
    assert scores == [0]


def _nobody() -> tuple[socket.socket, str]:
    """Return an address on which nobody listens, and the socket that reserves it."""
    reserved = socket.socket()
    reserved.bind(("127.0.0.1", 0))
    return reserved, f"127.0.0.1:{reserved.getsockname()[1]}"


def _alternating(*starts: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that starts the first call by the first function, and so on."""
    remaining = iter(starts)

    def start(*arguments: Any, **options: Any) -> Any:
        return next(remaining)(*arguments, **options)

    return start


def test_an_iterator_that_was_not_read_is_sent() -> None:
    """The first server cannot be reached, so no document was read."""
    reserved, nobody = _nobody()
    header = stream_header("q", {}, partial_scores=False, partial_ok=False)
    with (
        reserved,
        scripted(OK) as server,
        grpc.insecure_channel(nobody) as down,
        grpc.insecure_channel(server.address) as up,
    ):
        start = _alternating(pb_grpc.RerankStub(down).RerankStream, pb_grpc.RerankStub(up).RerankStream)
        responses = stream_responses(RetryPolicy(), start, header, (str(number) for number in range(3)), Lifetime())
        assert rank_stream(responses, None).model == "scripted"
        assert server.calls[0].documents == ["0", "1", "2"]


async def test_an_asynchronous_iterator_that_was_not_read_is_sent() -> None:
    """The blocking client does the same."""

    async def documents() -> AsyncIterator[str]:
        for number in range(3):
            yield str(number)

    reserved, nobody = _nobody()
    header = stream_header("q", {}, partial_scores=False, partial_ok=False)
    with reserved, scripted(OK) as server:
        async with grpc.aio.insecure_channel(nobody) as down, grpc.aio.insecure_channel(server.address) as up:
            start = _alternating(pb_grpc.RerankStub(down).RerankStream, pb_grpc.RerankStub(up).RerankStream)
            responses = stream_responses_async(RetryPolicy(), start, header, documents(), AsyncLifetime())
            assert (await rank_stream_async(responses, None)).model == "scripted"
        assert server.calls[0].documents == ["0", "1", "2"]


async def test_an_error_of_the_documents_is_not_repeated(edges: Served) -> None:
    """Even an Unavailable of another client that the documents come from."""
    tries = itertools.count()

    class Broken:
        def __iter__(self) -> Iterator[str]:
            next(tries)
            raise Unavailable("of the source")

    with RerankClient(edges.address) as client, pytest.raises(Unavailable, match="of the source"):
        await asyncio.to_thread(client.rerank_stream, "0", Broken())
    async with AsyncRerankClient(edges.address) as client_async:
        with pytest.raises(Unavailable, match="of the source"):
            await client_async.rerank_stream("0", Broken())
    assert next(tries) == 2


def test_a_pause_ends_with_its_stream() -> None:
    """Another thread closes the stream, while the thread of its reader waits for the next try."""
    ended = threading.Event()
    waiting = threading.Thread(target=Lifetime().pause, args=(1000.0, ended.is_set))
    waiting.start()
    ended.set()
    waiting.join()


def test_a_stream_that_is_never_read_starts_no_call() -> None:
    """By both clients."""
    header = stream_header("q", {}, partial_scores=False, partial_ok=False)

    def start(*_arguments: Any, **_options: Any) -> Any:
        raise AssertionError("no call")

    with closing(stream_responses(RetryPolicy(), start, header, ["d"], Lifetime())):
        pass
    responses = stream_responses_async(RetryPolicy(), start, header, ["d"], AsyncLifetime())
    asyncio.run(aclosing(responses).__aexit__(None, None, None))
