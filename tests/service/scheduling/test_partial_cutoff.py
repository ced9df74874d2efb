"""A stream that takes a part of its ranking: what is scored by the cutoff is ranked, and nothing is lost silently."""

import asyncio
import math
from collections.abc import AsyncIterator, Iterator, Sequence

import pytest

from rerank_service.errors import InferenceFailed, InvalidRequest
from rerank_service.models.bundle import Bundle
from rerank_service.ranking.document import Document
from rerank_service.ranking.ranking import Ranking
from rerank_service.ranking.request import RerankRequest
from rerank_service.ranking.results import Missing, RankedDocument
from rerank_service.scheduling.deadline import Deadline
from rerank_service.scheduling.partial_cutoff import MAX_RESERVED_SHARE, ROUND_TRIP_SECONDS, Cutoff, reserved_seconds
from rerank_service.scheduling.score_cache import ScoreCache
from support.limits import request_limits
from support.running import Running, running
from support.small import NAN

REQUEST = RerankRequest(query="0")


def _cutoff() -> Cutoff:
    """One that comes when the test says so."""
    return Cutoff(Deadline.after(1000))


def _documents(*texts: str) -> list[Document]:
    return [Document(text, original=text) for text in texts]


async def _never() -> None:
    await asyncio.Event().wait()


async def _stream_of_nothing(core: Running, cutoff: Cutoff) -> asyncio.Task[Ranking]:
    """One that has begun, and whose first document never comes."""
    asked = asyncio.Event()

    async def nothing() -> AsyncIterator[Sequence[Document]]:
        asked.set()
        await _never()
        yield []

    stream = asyncio.create_task(core.rank_stream(REQUEST, nothing(), cutoff=cutoff))
    await asked.wait()
    return stream


async def _ranked_after_two(core: Running, request: RerankRequest, *late: str, cutoff: Cutoff | None = None) -> Ranking:
    """Two documents are scored, then the model is held, then others come, then the time is up."""
    cutoff = cutoff or _cutoff()
    told: asyncio.Queue[int] = asyncio.Queue()
    come = asyncio.Event()

    async def chunks() -> AsyncIterator[Sequence[Document]]:
        yield _documents("5", "7 7")
        while {await told.get(), await told.get()} != {0, 1}:
            raise AssertionError
        core.score.hold()
        yield _documents(*late)
        come.set()
        await _never()

    async def tell(results: Iterator[RankedDocument]) -> None:
        for result in results:
            told.put_nowait(result.index)

    stream = asyncio.create_task(core.rank_stream(request, chunks(), tell, cutoff))
    await come.wait()
    cutoff.trigger()
    return await stream


async def test_what_is_scored_is_ranked_and_what_is_not_is_told(core: Running) -> None:
    """Usage counts what was scored; nothing of the request is left, though its last batch may still run."""
    ranking = await _ranked_after_two(core, REQUEST, "1", "2", "3")
    assert [(one.index, one.logit) for one in ranking] == [(1, 14.0), (0, 5.0)]
    assert ranking.missing == Missing([range(2, 5)], 5)
    assert (ranking.usage.pairs, ranking.usage.document_tokens, ranking.usage.query_tokens) == (2, 3, 1)
    assert core.idle()


async def test_copies_of_what_is_scored_are_scored(core: Running) -> None:
    """And copies of what is not are not."""
    ranking = await _ranked_after_two(core, REQUEST, "1", "5", "1", "7 7")
    assert [one.index for one in ranking] == [1, 5, 0, 3]
    assert ranking.missing == Missing([range(2, 3), range(4, 5)], 6)


async def test_the_best_of_what_is_scored_come_with_their_documents(core: Running) -> None:
    """What top_n leaves out is scored, so it is not told as missing."""
    request = RerankRequest(query="0", top_n=1, return_documents=True)
    ranking = await _ranked_after_two(core, request, "99")
    assert [(one.index, one.document) for one in ranking] == [(1, "7 7")]
    assert ranking.missing == Missing([range(2, 3)], 3)


async def test_a_stream_that_nothing_came_of_is_answered(core: Running) -> None:
    """Before its first document, there is nothing to tell but that."""
    cutoff = _cutoff()
    stream = await _stream_of_nothing(core, cutoff)
    cutoff.trigger()
    ranking = await stream
    assert (list(ranking), ranking.missing) == ([], Missing([], 0))
    assert min(ranking.timing.queue, ranking.timing.inference) == 0.0
    assert core.idle()


async def test_a_tokenizer_that_is_busy_does_not_hold_the_answer_up(core: Running) -> None:
    """Not even the query was read."""
    cutoff, began = _cutoff(), asyncio.Event()
    encode, loop = core.model.tokenizer.encode_query, asyncio.get_running_loop()
    free = asyncio.Event()

    def slow(query: str, instruction: str) -> object:
        loop.call_soon_threadsafe(began.set)
        asyncio.run_coroutine_threadsafe(free.wait(), loop).result()
        return encode(query, instruction)

    core.model.tokenizer.encode_query = slow  # type: ignore[method-assign,assignment]

    async def one() -> AsyncIterator[Sequence[Document]]:
        yield _documents("1")

    stream = asyncio.create_task(core.rank_stream(REQUEST, one(), cutoff=cutoff))
    await began.wait()
    cutoff.trigger()
    assert (await stream).missing == Missing([], 0)
    free.set()


async def test_documents_that_were_read_count_before_they_are_tokenized(small_model: Bundle) -> None:
    """A message may hold more than there is room for; all of it is received."""
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


async def test_all_that_is_scored_when_time_is_up_is_all_that_came(core: Running) -> None:
    """More might come, so the ranking is a part though nothing is missing of what was received."""
    ranking = await _ranked_after_two(core, REQUEST)
    assert [one.index for one in ranking] == [1, 0]
    assert ranking.missing == Missing([], 2)


async def test_a_stream_that_is_done_in_time_is_whole(core: Running) -> None:
    """And a cutoff that comes later does nothing."""
    cutoff = _cutoff()

    async def chunks() -> AsyncIterator[Sequence[Document]]:
        yield _documents("1", "2")

    ranking = await core.rank_stream(REQUEST, chunks(), cutoff=cutoff)
    cutoff.trigger()
    assert ([one.index for one in ranking], ranking.missing) == ([1, 0], None)


async def test_what_is_wrong_is_an_error_all_the_same(core: Running) -> None:
    """A part of a ranking is for time, not for mistakes."""

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


async def test_it_is_let_in_without_a_deadline(core: Running) -> None:
    """So that it is not told to be hopeless, and nobody is refused for being in its way."""
    cutoff = _cutoff()
    stream = await _stream_of_nothing(core, cutoff)
    (ticket,) = core.admission._live
    assert ticket.remaining_work(0.0).seconds_left == math.inf
    cutoff.trigger()
    await stream


async def test_a_part_may_come_of_what_others_scored(small_model: Bundle) -> None:
    """What another request runs just then is not scored in time either, and that one has it all the same."""
    async with running(small_model, lanes=2, scores=ScoreCache(2**20)) as core:
        await core.rank("0", "1")
        await core.score.started()
        core.score.hold()
        other = asyncio.create_task(core.rank("0", "2 2"))
        await core.score.started()
        cutoff, come = _cutoff(), asyncio.Event()

        async def chunks() -> AsyncIterator[Sequence[Document]]:
            yield _documents("2 2", "1")
            come.set()
            await _never()

        stream = asyncio.create_task(core.rank_stream(REQUEST, chunks(), cutoff=cutoff))
        await come.wait()
        cutoff.trigger()
        ranking = await stream
        assert ([one.index for one in ranking], ranking.missing) == ([1], Missing([range(1)], 2))
        assert (ranking.usage.pairs, ranking.usage.shared_pairs) == (0, 1)
        core.score.release()
        assert [one.logit for one in await other] == [4.0]
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
def test_the_reserved_seconds_grows_with_the_answer(seconds: float, answer_bytes: int, expected: float) -> None:
    """And leaves most of the time for scoring."""
    assert reserved_seconds(seconds, answer_bytes) == pytest.approx(expected)


async def test_a_cutoff_comes_by_itself() -> None:
    """In time before its deadline; not after the block that it was armed for."""
    loop, cut = asyncio.get_running_loop(), asyncio.Event()
    cutoff = Cutoff(Deadline(loop.time() + 1000))
    with cutoff.arm(cut.set):
        assert cutoff._timer is not None
        assert cutoff._timer.when() == pytest.approx(loop.time() + 1000 - ROUND_TRIP_SECONDS, abs=100)
        cutoff.expect(200_000_000)
        assert cutoff._timer.when() == pytest.approx(loop.time() + 800 - ROUND_TRIP_SECONDS, abs=100)
    cutoff.trigger()
    assert cutoff._timer.cancelled()
    assert not cut.is_set()
    with Cutoff(Deadline(loop.time())).arm(cut.set):
        await cut.wait()
