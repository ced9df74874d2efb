"""Partial rankings: documents scored by the cutoff are ranked, the others are listed.

Covers partial_cutoff and the flow of a request.
"""

import asyncio
import math
from collections.abc import AsyncIterator, Iterator, Sequence

import pytest

from rerank_service.encoding.pair_limits import PairLimits
from rerank_service.errors import InferenceFailed, InvalidRequest
from rerank_service.models.bundle import Bundle
from rerank_service.ranking.document import Document
from rerank_service.ranking.ranking import Ranking
from rerank_service.ranking.request import RerankRequest
from rerank_service.ranking.results import Missing, RankedDocument
from rerank_service.scheduling.deadline import Deadline
from rerank_service.scheduling.partial_cutoff import MAX_RESERVED_SHARE, ROUND_TRIP_SECONDS, Cutoff, reserved_seconds
from rerank_service.scheduling.score_cache import ScoreCache
from rerank_service.scheduling.submission import Submission
from support.limits import request_limits
from support.running import Running, running
from support.small import NAN

REQUEST = RerankRequest(query="0")


def _cutoff() -> Cutoff:
    """Return a cutoff that the test triggers."""
    return Cutoff(Deadline.after(1000))


def _documents(*texts: str) -> list[Document]:
    return [Document(text, original=text) for text in texts]


async def _never() -> None:
    await asyncio.Event().wait()


async def _stream_without_documents(core: Running, cutoff: Cutoff) -> asyncio.Task[Ranking]:
    """Start a stream whose first document never arrives."""
    started = asyncio.Event()

    async def nothing() -> AsyncIterator[Sequence[Document]]:
        started.set()
        await _never()
        yield []

    stream = asyncio.create_task(core.rank_stream(REQUEST, nothing(), cutoff=cutoff))
    await started.wait()
    return stream


async def _partial_ranking(core: Running, request: RerankRequest, *late: str, cutoff: Cutoff | None = None) -> Ranking:
    """Score two documents, hold the model, send the `late` documents, and trigger the cutoff."""
    cutoff = cutoff or _cutoff()
    scored: asyncio.Queue[int] = asyncio.Queue()
    all_sent = asyncio.Event()

    async def chunks() -> AsyncIterator[Sequence[Document]]:
        yield _documents("5", "7 7")
        while {await scored.get(), await scored.get()} != {0, 1}:
            raise AssertionError
        core.score.hold()
        yield _documents(*late)
        all_sent.set()
        await _never()

    async def on_scores(results: Iterator[RankedDocument]) -> None:
        for result in results:
            scored.put_nowait(result.index)

    stream = asyncio.create_task(core.rank_stream(request, chunks(), on_scores, cutoff))
    await all_sent.wait()
    cutoff.trigger()
    return await stream


async def test_partial_ranking_lists_unscored_documents(core: Running) -> None:
    """Usage counts the scored documents. The request leaves nothing behind, though its last batch may still run."""
    ranking = await _partial_ranking(core, REQUEST, "1", "2", "3")
    assert [(result.index, result.logit) for result in ranking] == [(1, 14.0), (0, 5.0)]
    assert ranking.missing == Missing([range(2, 5)], 5)
    assert (ranking.usage.pairs, ranking.usage.document_tokens, ranking.usage.query_tokens) == (2, 3, 1)
    assert core.idle()


async def test_parts_after_the_cutoff_are_dropped() -> None:
    """Lanes may score faster than a slow reader of partial scores takes the parts: the iteration must end."""
    submission = Submission(lambda *_: None, lambda: 0.0, room=9)
    submission.add_known([0], [1.0])
    submission.end_early()
    submission.add_known([1], [2.0])
    assert [list(part.indexes) async for part in submission] == [[0]]
    assert not submission.is_complete


async def test_partial_scores_end_at_the_cutoff(core: Running) -> None:
    """The ranking has the same scores, and must not wait for a slow reader of the others."""
    cutoff, begun, read = _cutoff(), asyncio.Event(), asyncio.Event()
    passed: list[int] = []

    async def take_slowly(results: Iterator[RankedDocument]) -> None:
        passed.extend(result.index for result in results)
        begun.set()
        await read.wait()

    async def chunks() -> AsyncIterator[Sequence[Document]]:
        yield _documents("1")
        await begun.wait()
        yield _documents("2")
        yield _documents("3")
        await _never()

    stream = asyncio.create_task(core.rank_stream(REQUEST, chunks(), take_slowly, cutoff))
    while core.model.scheduler.work.totals().pairs < 3:
        await asyncio.sleep(0.001)
    cutoff.trigger()
    read.set()
    ranking = await stream
    assert passed == [0]
    assert 0 in [result.index for result in ranking]


async def test_duplicates_of_scored_documents_are_scored(core: Running) -> None:
    """Duplicates of unscored documents are not."""
    ranking = await _partial_ranking(core, REQUEST, "1", "5", "1", "7 7")
    assert [result.index for result in ranking] == [1, 5, 0, 3]
    assert ranking.missing == Missing([range(2, 3), range(4, 5)], 6)


async def test_partial_ranking_returns_documents_of_the_top_n(core: Running) -> None:
    """A scored document outside the top n is not listed as unscored."""
    request = RerankRequest(query="0", top_n=1, return_documents=True)
    ranking = await _partial_ranking(core, request, "99")
    assert [(result.index, result.document) for result in ranking] == [(1, "7 7")]
    assert ranking.missing == Missing([range(2, 3)], 3)


async def test_stream_without_documents_has_an_empty_partial_ranking(core: Running) -> None:
    """The cutoff comes before the first document."""
    cutoff = _cutoff()
    stream = await _stream_without_documents(core, cutoff)
    cutoff.trigger()
    ranking = await stream
    assert (list(ranking), ranking.missing) == ([], Missing([], 0))
    assert min(ranking.timing.queue, ranking.timing.inference) == 0.0
    assert core.idle()


async def test_busy_tokenizer_does_not_delay_the_response(core: Running) -> None:
    """Not even the query was tokenized."""
    cutoff, tokenizing = _cutoff(), asyncio.Event()
    encode, loop = core.model.tokenizer.encode_query, asyncio.get_running_loop()
    free = asyncio.Event()

    def slow(query: str, instruction: str, limits: PairLimits) -> object:
        loop.call_soon_threadsafe(tokenizing.set)
        asyncio.run_coroutine_threadsafe(free.wait(), loop).result()
        return encode(query, instruction, limits)

    core.model.tokenizer.encode_query = slow  # type: ignore[method-assign,assignment]

    async def documents() -> AsyncIterator[Sequence[Document]]:
        yield _documents("1")

    stream = asyncio.create_task(core.rank_stream(REQUEST, documents(), cutoff=cutoff))
    await tokenizing.wait()
    cutoff.trigger()
    assert (await stream).missing == Missing([], 0)
    free.set()


async def test_received_documents_count_before_they_are_tokenized(small_model: Bundle) -> None:
    """A message may hold more documents than there is room for."""
    async with running(small_model, limits=request_limits(room=2, part_documents=2)) as core:
        core.score.hold()
        cutoff = _cutoff()

        async def chunks() -> AsyncIterator[Sequence[Document]]:
            yield _documents(*map(str, range(50)))

        stream = asyncio.create_task(core.rank_stream(REQUEST, chunks(), cutoff=cutoff))
        await core.score.started()
        cutoff.trigger()
        assert (await stream).missing == Missing([range(50)], 50)
        assert core.idle()


async def test_ranking_is_partial_if_more_documents_could_arrive(core: Running) -> None:
    """All received documents are scored, but the stream has not ended."""
    ranking = await _partial_ranking(core, REQUEST)
    assert [result.index for result in ranking] == [1, 0]
    assert ranking.missing == Missing([], 2)


async def test_stream_that_ends_before_the_cutoff_is_complete(core: Running) -> None:
    """A later cutoff has no effect."""
    cutoff = _cutoff()

    async def chunks() -> AsyncIterator[Sequence[Document]]:
        yield _documents("1", "2")

    ranking = await core.rank_stream(REQUEST, chunks(), cutoff=cutoff)
    cutoff.trigger()
    assert ([result.index for result in ranking], ranking.missing) == ([1, 0], None)


async def test_cutoff_does_not_hide_errors(core: Running) -> None:
    """An invalid stream and a failing document are errors, not partial rankings."""

    async def empty() -> AsyncIterator[Sequence[Document]]:
        yield []

    async def failing() -> AsyncIterator[Sequence[Document]]:
        yield _documents("1", NAN)
        await _never()

    with pytest.raises(InvalidRequest, match="must not be empty"):
        await core.rank_stream(REQUEST, empty(), cutoff=_cutoff())
    with pytest.raises(InferenceFailed, match=r"documents\[1\]"):
        await core.rank_stream(REQUEST, failing(), cutoff=_cutoff())
    assert core.idle()


async def test_stream_with_a_cutoff_is_admitted_without_a_deadline(core: Running) -> None:
    """So it is not rejected as late, and no request is rejected to protect it."""
    cutoff = _cutoff()
    stream = await _stream_without_documents(core, cutoff)
    (ticket,) = core.tickets()
    assert ticket.remaining_work(0.0).seconds_left == math.inf
    cutoff.trigger()
    await stream


async def test_partial_ranking_may_use_shared_scores(small_model: Bundle) -> None:
    """A pair that runs for another request is not scored in time. That request still gets its score."""
    async with running(small_model, lanes=2, scores=ScoreCache(2**20)) as core:
        await core.rank("0", "1")
        await core.score.started()
        core.score.hold()
        other = asyncio.create_task(core.rank("0", "2 2"))
        await core.score.started()
        cutoff, all_sent = _cutoff(), asyncio.Event()

        async def chunks() -> AsyncIterator[Sequence[Document]]:
            yield _documents("2 2", "1")
            all_sent.set()
            await _never()

        stream = asyncio.create_task(core.rank_stream(REQUEST, chunks(), cutoff=cutoff))
        await all_sent.wait()
        cutoff.trigger()
        ranking = await stream
        assert ([result.index for result in ranking], ranking.missing) == ([1], Missing([range(1)], 2))
        assert (ranking.usage.pairs, ranking.usage.shared_pairs) == (0, 1)
        core.score.release()
        assert [result.logit for result in await other] == [4.0]
        assert core.idle()


@pytest.mark.parametrize(
    ("seconds", "answer_bytes", "expected"),
    [
        (60.0, 0, ROUND_TRIP_SECONDS),
        (60.0, 2_000_000, ROUND_TRIP_SECONDS + 2.0),
        (60.0, 50_000_000, 60.0 * MAX_RESERVED_SHARE),
        (1.0, 0, 1.0 * MAX_RESERVED_SHARE),
        (-1.0, 0, 0.0),
    ],
)
def test_reserved_time_grows_with_the_response(seconds: float, answer_bytes: int, expected: float) -> None:
    """Most of the time remains for scoring."""
    assert reserved_seconds(seconds, answer_bytes) == pytest.approx(expected)


async def test_cutoff_leaves_time_for_scored_documents(core: Running) -> None:
    """Those of the last message, too. A document without a score is not in the response, so it needs no time."""
    reserved: list[int] = []

    class RecordingCutoff(Cutoff):
        def reserve_for(self, response_bytes: int) -> None:
            reserved.append(response_bytes)
            super().reserve_for(response_bytes)

    async def chunks() -> AsyncIterator[Sequence[Document]]:
        yield [Document("5", original="5", size=3_000_000)]
        yield [Document("2", original="2", size=5_000_000)]
        all_sent.set()

    core.score.hold()
    all_sent = asyncio.Event()
    request = RerankRequest(query="0", return_documents=True)
    cutoff = RecordingCutoff(Deadline.after(1000))
    stream = asyncio.create_task(core.rank_stream(request, chunks(), cutoff=cutoff))
    await all_sent.wait()
    while sum(map(len, core.score.batches)) + core.model.scheduler.waiting < 2:
        await asyncio.sleep(0)
    assert max(reserved) < 1_000
    core.score.release()
    assert len(await stream) == 2
    assert max(reserved) > 8_000_000


async def test_cutoff_has_a_timer() -> None:
    """It triggers before the deadline, and not after the block for which it was armed."""
    loop, cut = asyncio.get_running_loop(), asyncio.Event()
    cutoff = Cutoff(Deadline(loop.time() + 1000))
    with cutoff.arm(cut.set):
        assert cutoff._timer is not None
        assert cutoff._timer.when() == pytest.approx(loop.time() + 1000 - ROUND_TRIP_SECONDS, abs=100)
        cutoff.reserve_for(200_000_000)
        assert cutoff._timer.when() == pytest.approx(loop.time() + 800 - ROUND_TRIP_SECONDS, abs=100)
    cutoff.trigger()
    assert cutoff._timer.cancelled()
    assert not cut.is_set()
    with Cutoff(Deadline(loop.time() + 0.01)).arm(cut.set):
        await cut.wait()


async def test_scores_at_each_turn_do_not_hold_up_the_cutoff() -> None:
    """Each of them sets the cutoff again. Once its time has come, it does not wait for the next turn."""
    ended = asyncio.Event()
    cutoff = Cutoff(Deadline(asyncio.get_running_loop().time()))
    with cutoff.arm(ended.set):
        for _ in range(3):
            ended.clear()
            await asyncio.sleep(0)
            cutoff.reserve_for(0)
            assert ended.is_set()
