"""Scores as an iterator: they arrive while documents are sent, wait for the caller, and end with the caller."""

import asyncio
import gc
import itertools
import threading
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from typing import Any

import grpc
import pytest

from rerank.client import AsyncRerankClient, RerankClient, ScoreStream
from rerank.errors import Cancelled, InvalidArgument, NotFound
from rerank.v1 import rerank_pb2 as pb
from support.grpc_calls import until_idle
from support.running import Served
from support.scripted import Reply, scripted

DOCUMENTS = [str(number % 100) for number in range(1000)]


@pytest.fixture
def blocking(edges: Served) -> Iterator[RerankClient]:
    """Yield a blocking client, whose calls must be in another thread than the server."""
    with RerankClient(edges.address) as client:
        yield client


async def test_each_document_has_a_score_and_the_ranking_follows(edges: Served, blocking: RerankClient) -> None:
    """With the scores of the ranking. `rerank_stream` returns the same ranking."""
    expected = await edges.client.rerank_stream("0", DOCUMENTS)

    def read() -> tuple[dict[int, float], ScoreStream]:
        with blocking.scores("0", iter(DOCUMENTS)) as scores:
            return {score.index: score.relevance_score for score in scores}, scores

    by_thread, scores = await asyncio.to_thread(read)
    async with edges.client.scores("0", iter(DOCUMENTS)) as scores_async:
        by_loop = {score.index: score.relevance_score async for score in scores_async}
    assert by_thread == by_loop == {result.index: result.relevance_score for result in expected.results}
    for stream in (scores, scores_async):
        assert list(stream.ranking.results) == list(expected.results)
        assert stream.ranking.usage.pairs == expected.usage.pairs


async def test_options_apply_to_the_ranking(edges: Served) -> None:
    """`top_n` shortens the ranking, and every document has a score."""
    async with edges.client.scores("0", DOCUMENTS, top_n=3) as scores:
        assert len([score async for score in scores]) == 1000
    assert len(scores.ranking.results) == 3


async def test_scores_arrive_while_documents_are_sent(edges: Served, blocking: RerankClient) -> None:
    """The documents of both clients continue only after the first score."""
    first, first_async = threading.Event(), asyncio.Event()

    def documents() -> Iterator[str]:
        yield from ["1"] * 257  # a message has 256 documents
        first.wait()
        yield "7"

    async def documents_async() -> AsyncIterator[str]:
        yield "1"
        await first_async.wait()
        yield "2"

    def read() -> int:
        count = 0
        with blocking.scores("0", documents()) as scores:
            for _ in scores:
                count += 1
                first.set()
        return count

    assert await asyncio.to_thread(read) == 258
    count = 0
    async with edges.client.scores("0", documents_async()) as scores:
        async for _ in scores:
            count += 1
            first_async.set()
    assert count == 2


_MOST_AHEAD = 500_000
"""Maximum of documents that are read while the caller reads no score: ten times the content of all buffers."""


class _Counted:
    """Endless documents, with the number of those that were read."""

    def __init__(self) -> None:
        self.read = 0

    def __iter__(self) -> Iterator[str]:
        for self.read in itertools.count(1):
            yield "1 " * 50

    async def settled(self) -> int:
        """Wait until no more documents are read, and return how many were."""
        before = -1
        while self.read != before:
            before = self.read
            assert before < _MOST_AHEAD
            await asyncio.sleep(0.3)
        return before


async def test_a_slow_caller_stops_the_documents(edges: Served, blocking: RerankClient) -> None:
    """Backpressure: endless documents are read only while the caller reads scores."""
    counted = _Counted()
    scores = blocking.scores("0", counted)
    await asyncio.to_thread(next, scores)
    assert await counted.settled() > 0
    scores.close()
    counted = _Counted()
    async with edges.client.scores("0", counted) as scores_async:
        await anext(scores_async)
        assert await counted.settled() > 0
    await until_idle(edges.core)


def _close(scores: ScoreStream) -> None:
    scores.close()


def _leave(scores: ScoreStream) -> None:
    with scores:
        pass


def _forget(scores: ScoreStream) -> None:
    del scores
    gc.collect()


@pytest.mark.parametrize("end", [_close, _leave, _forget])
async def test_an_early_exit_cancels_the_call(
    edges: Served, blocking: RerankClient, end: Callable[[ScoreStream], None]
) -> None:
    """The server is idle, and the thread of the documents ends."""

    def read() -> None:
        scores = blocking.scores("0", itertools.repeat("1"))
        next(scores)
        streams.append(scores)

    streams: list[ScoreStream] = []
    await asyncio.to_thread(read)
    end(streams.pop())
    await until_idle(edges.core)


async def test_an_early_exit_cancels_the_call_and_the_source_on_asyncio(edges: Served) -> None:
    """By `break` and the end of the block, by `aclose`, and by the garbage collection."""
    ended = [asyncio.Event() for _ in range(3)]

    async def documents(end: asyncio.Event) -> AsyncIterator[str]:
        try:
            yield "1"
            await asyncio.Event().wait()
        finally:
            end.set()

    async with edges.client.scores("0", documents(ended[0])) as scores:
        async for _ in scores:
            break
    await ended[0].wait()
    closed = edges.client.scores("0", documents(ended[1]))
    await anext(closed)
    await closed.aclose()
    await ended[1].wait()
    forgotten = edges.client.scores("0", documents(ended[2]))
    await anext(forgotten)
    del forgotten
    gc.collect()
    await ended[2].wait()
    await until_idle(edges.core)


async def test_a_cancelled_reader_cancels_the_call(edges: Served) -> None:
    """A task that waits for a score, such as that of `asyncio.wait_for`. A reader that goes on learns that the call has
    ended: it would otherwise believe that it has read all scores."""
    edges.core.score.hold()
    scores = edges.client.scores("0", ["1"])
    task = asyncio.ensure_future(anext(scores))
    await edges.core.score.started()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until_idle(edges.core)
    for _ in range(2):
        with pytest.raises(Cancelled, match="the call has ended before its last score"):
            await anext(scores)
    await scores.aclose()
    assert [score async for score in scores] == []


def test_a_blocking_reader_that_goes_on_after_an_interruption_learns_that_the_call_has_ended() -> None:
    """Ctrl-C in `next`."""

    def responses() -> Generator[pb.RerankStreamResponse]:
        yield pb.RerankStreamResponse(scores=pb.PartialScores(scores=[pb.PartialScore(index=7)]))
        raise KeyboardInterrupt

    scores = ScoreStream(responses(), lambda: None)
    assert next(scores).index == 7
    with pytest.raises(KeyboardInterrupt):
        next(scores)
    for _ in range(2):
        with pytest.raises(Cancelled, match="the call has ended before its last score"):
            next(scores)
    scores.close()
    assert list(scores) == []


async def test_errors_are_raised_by_the_iterator(edges: Served, blocking: RerankClient) -> None:
    """Errors of the call and of the documents. Later reads say that the call has ended, and there is no ranking."""

    def broken() -> Iterator[str]:
        yield "1"
        raise KeyError("mine")

    for documents, options, kind in (
        (["1"], {"model": "other"}, NotFound),
        (["1"], {"top_n": -1}, InvalidArgument),
        (broken(), {}, KeyError),
    ):
        await _check_error(blocking.scores("0", documents, **options), kind)
    async with edges.client.scores("0", ["1"], model="other") as scores:
        with pytest.raises(NotFound):
            await anext(scores)
        with pytest.raises(Cancelled, match="the call has ended"):
            await anext(scores)
        with pytest.raises(RuntimeError, match="the ranking has not arrived"):
            _ = scores.ranking
    async with edges.client.scores("0", broken()) as scores:
        with pytest.raises(KeyError, match="mine"):
            [score async for score in scores]
    await until_idle(edges.core)


async def _check_error(scores: ScoreStream, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        await asyncio.to_thread(list, scores)
    with pytest.raises(Cancelled, match="the call has ended"):
        next(scores)
    with pytest.raises(RuntimeError, match="the ranking has not arrived"):
        _ = scores.ranking


async def test_wrong_arguments_are_rejected_before_the_first_score(edges: Served, blocking: RerankClient) -> None:
    """`rerank_stream` rejects them in the same way."""
    for client in (edges.client, blocking):
        with pytest.raises(TypeError, match="several documents"):
            client.scores("0", "one text")
        options: Any = {"top_k": 1}
        with pytest.raises(ValueError, match="top_k is not an option"):
            client.scores("0", ["1"], **options)


async def test_another_thread_can_close_the_scores(blocking: RerankClient) -> None:
    """The thread that waits for the next score gets an error."""
    waiting, release = threading.Event(), threading.Event()

    def documents() -> Iterator[str]:
        yield from map(str, range(256))  # one message
        waiting.set()
        release.wait()

    scores = blocking.scores("0", documents())
    reading = asyncio.create_task(asyncio.to_thread(list, scores))
    await asyncio.to_thread(waiting.wait)
    scores.close()
    with pytest.raises(Cancelled):
        await reading
    release.set()


async def test_another_task_can_close_the_scores(edges: Served) -> None:
    """The task that waits for the next score gets an error. The source of the documents ends."""
    waiting, ended = asyncio.Event(), asyncio.Event()

    async def documents() -> AsyncIterator[str]:
        try:
            yield "1"
            waiting.set()
            await asyncio.Event().wait()
        finally:
            ended.set()

    scores = edges.client.scores("0", documents())
    first = await anext(scores)
    reading = asyncio.create_task(anext(scores))
    await waiting.wait()
    await asyncio.sleep(0)  # the task waits now
    await scores.aclose()
    with pytest.raises(Cancelled, match="the scores are closed"):
        await reading
    await ended.wait()
    assert first.index == 0
    assert [score async for score in scores] == []
    await scores.aclose()
    await until_idle(edges.core)


@pytest.mark.parametrize("kind", ["blocking", "asyncio"])
async def test_a_reader_that_is_busy_learns_that_the_scores_were_closed(
    edges: Served, blocking: RerankClient, kind: str
) -> None:
    """It would otherwise believe that it has read all scores. A reader that closes them itself comes to the end."""
    documents = list(map(str, range(300)))
    if kind == "asyncio":
        scores = edges.client.scores("0", documents)
        await anext(scores)
        await asyncio.create_task(scores.aclose())
        with pytest.raises(Cancelled, match="the scores are closed"):
            await anext(scores)
        own = edges.client.scores("0", documents)
        await anext(own)
        await own.aclose()
        assert [score async for score in own] == []
        return
    first = blocking.scores("0", documents)
    await asyncio.to_thread(next, first)
    first.close()
    with pytest.raises(Cancelled, match="the scores are closed"):
        await asyncio.to_thread(next, first)
    assert list(first) == []


async def test_another_task_can_close_the_scores_between_two_attempts() -> None:
    """The pause before the next attempt ends at once."""
    busy = Reply(grpc.StatusCode.RESOURCE_EXHAUSTED, retry_after=30.0)
    with scripted(busy, busy) as server:
        async with AsyncRerankClient(server.address) as client:
            scores = client.scores("0", ["1"])
            reading = asyncio.create_task(anext(scores))
            while not server.calls:
                await asyncio.sleep(0.01)
            await scores.aclose()
            with pytest.raises(Cancelled, match="the scores are closed"):
                await reading
        assert len(server.calls) == 1


async def test_the_scores_of_a_closed_client_end(edges: Served) -> None:
    """The message names the client."""
    client = AsyncRerankClient(edges.address)
    edges.core.score.hold()
    reading = asyncio.create_task(anext(client.scores("0", ["1"])))
    await edges.core.score.started()
    await client.close()
    for closed in (reading, anext(client.scores("0", ["1"]))):
        with pytest.raises(Cancelled, match="the client is closed"):
            await closed
    edges.core.score.release()


async def test_scores_that_are_closed_before_the_first_call_are_empty() -> None:
    """Before the first call: no score is left, and none is asked for."""
    with RerankClient("127.0.0.1:9") as client:
        scores = client.scores("0", ["1"])
        scores.close()
        with pytest.raises(StopIteration):
            next(scores)
