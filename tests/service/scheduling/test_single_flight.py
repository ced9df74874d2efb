"""Single-flight and the score cache: each pair is scored once.

Covers single_flight, shared_pairs, running_batches, and the flow of a request.
"""

import asyncio
import random
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, suppress

import numpy as np
import pytest
from numpy.typing import NDArray

from rerank_service.errors import DeadlineExceeded, InferenceFailed, NotReady, Overloaded
from rerank_service.models.bundle import Bundle
from rerank_service.ranking.document import Document
from rerank_service.ranking.ranking import Ranking
from rerank_service.ranking.request import RerankRequest
from rerank_service.scheduling.batch_cancellation import CancelToken
from rerank_service.scheduling.batching import Batch, BatchLimits, EncodedPair, KeyedPair, Segment
from rerank_service.scheduling.cost_model import CostModel
from rerank_service.scheduling.deadline import Deadline
from rerank_service.scheduling.scheduler import Scheduler
from rerank_service.scheduling.score_cache import ENTRY_BYTES, ScoreCache
from rerank_service.scheduling.submission import Scored, Submission
from support.limits import batch_limits, request_limits
from support.running import CancellableScore, DocumentReader, HeldScore, Running, running, running_lanes
from support.small import BOOM, NAN, logit

_EMPTY = Segment(np.array([], np.int64), np.array([], np.int64))
ONE_BY_ONE = batch_limits(max_pairs=1, length_multiple=1)


def lengths(batch: Batch, token: CancelToken) -> NDArray[np.float32]:
    """Return the length of each pair as its logit."""
    logits: NDArray[np.float32] = batch.attention_mask.sum(axis=1).astype(np.float32)
    return logits


@asynccontextmanager
async def lanes(
    score: HeldScore,
    limits: BatchLimits = ONE_BY_ONE,
    *,
    count: int = 1,
    entries: int = 1000,
    scores: ScoreCache | None = None,
) -> AsyncIterator[Scheduler]:
    """Run a scheduler with a score cache during the block. Without `scores`, the cache has room for `entries`."""
    scores = scores or ScoreCache(entries * ENTRY_BYTES)
    scheduler = Scheduler(score, limits, pad_id=0, lanes=count, cost=CostModel(), scores=scores)
    async with running_lanes(scheduler, score):
        yield scheduler


async def parts(submission: Submission) -> list[Scored]:
    """Return all parts that the submission delivers."""
    return [part async for part in submission]


def equal_pairs(sizes: Sequence[int]) -> list[KeyedPair]:
    """Return pairs of these lengths. Those of one length are equal."""
    return [
        KeyedPair(index, EncodedPair(_EMPTY, np.ones(size, np.int64), _EMPTY, document_type=1), size.to_bytes(16))
        for index, size in enumerate(sizes)
    ]


async def score_all(scheduler: Scheduler, sizes: Sequence[int], priority: int = 0) -> list[Scored]:
    """Submit pairs of these lengths, and return their scores."""
    with scheduler.submission(room=100, priority=priority, weight=1.0) as submission:
        await submission.add(equal_pairs(sizes))
        submission.finish()
        return await parts(submission)


def logits(scored: Sequence[Scored]) -> dict[int, float]:
    """Return the logits by the index of the document."""
    return {index: value for part in scored for index, value in zip(part.indexes, part.logits, strict=True)}


async def until(condition: Callable[[], bool]) -> None:
    """Let other tasks run until the condition holds."""
    while not condition():
        await asyncio.sleep(0)


def has_waiters(scheduler: Scheduler, count: int) -> bool:
    """Return True if that many pairs wait for a running pair."""
    with scheduler._lock:
        assert scheduler._shared is not None
        return sum(len(flight.waiters) for flight in scheduler._shared._flights._flights.values()) == count


def has_no_flights(scheduler: Scheduler) -> bool:
    """Return True if no pair is recorded as running. A cancelled run may end after its request."""
    with scheduler._lock:
        assert scheduler._shared is not None
        return not scheduler._shared._flights._flights


class _SlowCache(ScoreCache):
    """A cache that stores when it may."""

    def __init__(self) -> None:
        super().__init__(ENTRY_BYTES)
        self.storing, self.may_store = threading.Event(), threading.Event()

    def put(self, key: bytes, logit: float) -> None:
        self.storing.set()
        self.may_store.wait()
        super().put(key, logit)


async def test_scores_are_cached_before_their_request_gets_them() -> None:
    """Otherwise an equal request that follows at once could compute them again."""
    score, scores = HeldScore(lengths), _SlowCache()
    async with lanes(score, scores=scores) as scheduler:
        with scheduler.submission(room=100, priority=0, weight=1.0) as submission:
            await submission.add(equal_pairs([7]))
            submission.finish()
            taking = asyncio.create_task(parts(submission))
            await asyncio.to_thread(scores.storing.wait)
            for _ in range(50):
                await asyncio.sleep(0)
            early = taking.done()
            scores.may_store.set()
            assert logits(await taking) == {0: 7}
    assert not early


@pytest.mark.parametrize("count", [1, 2])
async def test_running_pair_does_not_run_again(count: int) -> None:
    """The second request gets its turn during the run, on another lane, or after it."""
    score = HeldScore(lengths)
    async with lanes(score, count=count) as scheduler:
        score.hold()
        first = asyncio.create_task(score_all(scheduler, [7]))
        await score.started()
        second = asyncio.create_task(score_all(scheduler, [7]))
        await until(lambda: has_waiters(scheduler, 1) if count == 2 else scheduler.waiting == 1)
        score.release()
        (ran,), (shared,) = await asyncio.gather(first, second)
    assert score.batches == [[7]]
    assert (ran.logits, len(ran.pairs), ran.shared, ran.padded_tokens, ran.own_tokens) == ([7.0], 1, 0, 7, 7)
    assert (shared.logits, shared.pairs, shared.shared, shared.padded_tokens) == ([7.0], (), 1, 0)
    assert shared.own_tokens == 7  # as admission counted it


async def test_equal_waiting_pairs_run_once() -> None:
    """50 requests with the same pairs: each pair runs once, and all requests get all logits."""
    score = HeldScore(lengths)
    async with lanes(score, batch_limits(length_multiple=1), count=2) as scheduler:
        score.hold()
        tasks = [asyncio.create_task(score_all(scheduler, [3, 4, 5, 6])) for _ in range(50)]
        await score.started()
        score.release()
        for scored in await asyncio.gather(*tasks):
            assert logits(scored) == {0: 3, 1: 4, 2: 5, 3: 6}
    assert sorted(length for batch in score.batches for length in batch) == [3, 4, 5, 6]


async def test_batch_runs_on_while_another_request_waits_for_it() -> None:
    """Its own request is cancelled. The batch stops when the last waiting request leaves, too."""
    score = HeldScore(cancellable := CancellableScore(lengths))
    async with lanes(score, count=2) as scheduler:
        first = asyncio.create_task(score_all(scheduler, [7]))
        await score.started()
        second = asyncio.create_task(score_all(scheduler, [7]))
        await until(lambda: has_waiters(scheduler, 1))
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        assert not cancellable.cancelled.is_set()
        second.cancel()
        await asyncio.gather(second, return_exceptions=True)
        assert cancellable.cancelled.is_set()
        assert logits(await score_all(scheduler, [7])) == {0: 7}
        assert has_no_flights(scheduler)
    assert cancellable.batches == [1, 1]


async def test_cancelled_batch_is_not_shared() -> None:
    """It still runs, but a new request scores the pair again."""
    score = HeldScore(lengths)
    async with lanes(score, count=2) as scheduler:
        score.hold()
        first = asyncio.create_task(score_all(scheduler, [7]))
        await score.started()
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        second = asyncio.create_task(score_all(scheduler, [7]))
        await score.started()
        score.release()
        assert logits(await second) == {0: 7}
    assert score.batches == [[7], [7]]


async def test_failed_pair_is_retried_by_each_waiting_request() -> None:
    """The error belongs to the first request. The others run the pair themselves, and do not wait again."""
    failures = iter([True])

    def failing_once(batch: Batch, token: CancelToken) -> NDArray[np.float32]:
        if next(failures, False):
            raise ValueError("once")
        return lengths(batch, token)

    score = HeldScore(failing_once)
    async with lanes(score, count=2) as scheduler:
        score.hold()
        tasks = [asyncio.create_task(score_all(scheduler, [7]))]
        await score.started()
        tasks += [asyncio.create_task(score_all(scheduler, [7])) for _ in range(3)]
        await until(lambda: has_waiters(scheduler, 3))
        tasks[2].cancel()
        score.release()
        first, *others = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(first, InferenceFailed)
        assert isinstance(others.pop(1), asyncio.CancelledError)
        for scored in others:
            assert isinstance(scored, list)
            assert logits(scored) == {0: 7}
            assert len(scored[0].pairs) == 1  # it ran for this request


async def test_urgent_request_does_not_wait_for_the_turn_of_another() -> None:
    """Its pair runs at its own turn, though an earlier request has the same pair waiting. That pair is then skipped."""
    score = HeldScore(lengths)
    async with lanes(score) as scheduler:
        score.hold()
        tasks = [asyncio.create_task(score_all(scheduler, [9]))]
        await score.started()
        for waiting, (sizes, priority) in enumerate([([1, 2], 1), ([2], 0)], 1):
            tasks.append(asyncio.create_task(score_all(scheduler, sizes, priority)))
            await until(lambda waiting=waiting: scheduler.waiting == (2, 3)[waiting - 1])  # type: ignore[misc]
        score.release()
        _, slow, urgent = await asyncio.gather(*tasks)
    assert score.batches == [[9], [2], [1]]
    assert len(urgent[0].pairs) == 1
    assert (logits(slow), sum(part.shared for part in slow)) == ({0: 1, 1: 2}, 1)


async def test_cache_of_one_entry_is_enough_for_single_flight() -> None:
    """Running pairs are shared without the cache; dropped logits are computed again."""
    score = HeldScore(lengths)
    async with lanes(score, batch_limits(length_multiple=1), count=2, entries=1) as scheduler:
        for _ in range(3):
            tasks = [asyncio.create_task(score_all(scheduler, [3, 4, 5])) for _ in range(20)]
            for scored in await asyncio.gather(*tasks):
                assert logits(scored) == {0: 3, 1: 4, 2: 5}


async def test_closing_fails_all_waiting_requests() -> None:
    """Both the request that runs a pair and the one that waits for it fail."""
    score = HeldScore(lengths)
    async with lanes(score, count=2) as scheduler:
        score.hold()
        runs = asyncio.create_task(score_all(scheduler, [7, 8, 9]))
        await score.started()
        await score.started()
        shares = asyncio.create_task(score_all(scheduler, [7, 9]))
        await until(lambda: scheduler.waiting == 3)
        scheduler.close()
        score.release()
        for task in (runs, shares):
            with pytest.raises(NotReady):
                await task


@pytest.fixture
async def core(small_model: Bundle) -> AsyncIterator[Running]:
    """Run the small model on two lanes, with a large score cache."""
    async with running(small_model, lanes=2, scores=ScoreCache(10_000 * ENTRY_BYTES)) as parts_:
        yield parts_


async def test_second_equal_request_computes_nothing(core: Running) -> None:
    """Its ranking is identical. Usage counts computed pairs only."""
    texts = ["5", "1 2", "5", "4 4 4"]
    first, second = [await core.rank("0 0", *texts) for _ in range(2)]
    assert list(second) == list(first)
    assert (first.usage.pairs, first.usage.shared_pairs) == (3, 0)
    usage = second.usage
    assert (usage.pairs, usage.shared_pairs, usage.query_tokens) == (0, 3, 2)
    assert (usage.document_tokens, usage.prompt_tokens, usage.padded_tokens) == (0, 0, 0)
    assert second.timing.queue == second.timing.inference == 0.0
    assert sum(map(len, core.score.batches)) == 3
    assert core.idle()


async def test_only_new_pairs_are_computed(core: Running) -> None:
    """Another query makes other pairs; one more document is one more pair."""
    await core.rank("0", "5", "6")
    third = await core.rank("0", "7", "5", "6")
    assert (third.usage.pairs, third.usage.shared_pairs, third.usage.document_tokens) == (1, 2, 1)
    assert [result.index for result in third] == [0, 2, 1]
    assert third.timing.queue >= 0
    assert third.timing.inference > 0
    other = await core.rank("1", "5", "6")
    assert other.usage.shared_pairs == 0


async def test_document_cut_to_the_same_tokens_is_the_same_pair(core: Running) -> None:
    """The result still says that the document was cut."""
    await core.rank("0", "1 2")
    request = RerankRequest(query="0", max_tokens_per_doc=2)
    document = [Document("1 2 3")]
    ranking = await core.reranker.rerank(request, document, reader=DocumentReader(), deadline=Deadline.after(60))
    assert (ranking.usage.shared_pairs, [result.truncated for result in ranking]) == (1, [True])


async def test_ticket_reaches_zero_whichever_request_computes(core: Running) -> None:
    """It counts pairs of other requests, cached pairs, and duplicates of both."""
    await core.rank("0", "3")
    await core.score.started()
    core.score.hold()
    runs = asyncio.create_task(core.rank("0", "1", "2 2"))
    await core.score.started()
    shares = asyncio.create_task(core.rank("0", "2 2", "3", "1", "3", "1", "4 4 4"))
    await core.score.started()
    assert has_waiters(core.model.scheduler, 2)
    tickets = core.tickets()
    assert sorted(ticket.remaining_tokens for ticket in tickets) == [16.0, 24.0]
    core.score.release()
    assert (await shares).usage.shared_pairs == 3
    await runs
    assert [float(ticket.values[0]) for ticket in tickets] == [0.0, 0.0]


async def test_request_that_waits_for_another_keeps_its_deadline(core: Running) -> None:
    """The other request continues."""
    core.score.hold()
    runs = asyncio.create_task(core.rank("0", "1"))
    await core.score.started()
    with pytest.raises(DeadlineExceeded):
        await core.rank("0", "1", seconds=0.01)
    core.score.release()
    assert [result.logit for result in await runs] == [1.0]
    assert core.idle()


@pytest.mark.parametrize("word", [NAN, BOOM])
async def test_failures_are_not_shared(core: Running, word: str) -> None:
    """Each request gets the error of its own document, also the next time."""
    core.score.hold()
    tasks = [asyncio.create_task(core.rank("0", *texts)) for texts in ((word, "1"), ("1", "2", word), ("2", "1"))]
    await core.score.started()
    core.score.release()
    first, second, third = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(first, InferenceFailed)
    assert isinstance(second, InferenceFailed)
    assert ("documents[0]" in str(first), "documents[2]" in str(second)) == (True, True)
    assert isinstance(third, Ranking)
    assert [result.logit for result in third] == [2.0, 1.0]
    with pytest.raises(InferenceFailed, match=r"documents\[0\]"):
        await core.rank("0", word)
    assert core.idle()


async def test_logit_that_is_not_finite_is_not_cached() -> None:
    """The fault may be temporary."""
    values = iter([float("nan"), 2.0])
    score = HeldScore(lambda batch, stop: np.array([next(values)], np.float32))
    async with lanes(score) as scheduler:
        assert np.isnan(logits(await score_all(scheduler, [7]))[0])
        assert logits(await score_all(scheduler, [7])) == {0: 2.0}


async def test_models_do_not_share_scores(small_model: Bundle) -> None:
    """Two loads of one bundle do not share either: engines may round differently."""
    scores = ScoreCache(1000 * ENTRY_BYTES)
    for _ in range(2):
        async with running(small_model, scores=scores) as core:
            assert (await core.rank("0", "5")).usage.shared_pairs == 0
    assert len(scores._scores) == 2


async def test_scores_are_not_cached_by_default(small_model: Bundle) -> None:
    """The same request runs again."""
    async with running(small_model) as core:
        for _ in range(2):
            assert (await core.rank("0", "5", "5")).usage.pairs == 1


@pytest.mark.parametrize(("entries", "seed"), [(1, 1), (20, 2), (10_000, 3)])
async def test_many_equal_requests_that_are_cancelled_or_expire(small_model: Bundle, entries: int, seed: int) -> None:
    """Requests with nearly equal pairs arrive, are cancelled and expire in any order. Each remaining request gets its
    own ranking, and none leaves anything behind."""
    dice = random.Random(seed)
    limits = request_limits(room=8, part_documents=3)
    scores = ScoreCache(entries * ENTRY_BYTES)
    async with running(small_model, limits=limits, lanes=2, scores=scores) as core:

        async def rank() -> None:
            texts = [str(dice.randrange(20)) for _ in range(dice.randint(1, 30))]
            ranking = await core.rank("0", *texts, seconds=dice.choice([60, 60, 60, 0.005]))
            assert [result.logit for result in ranking] == sorted(map(logit, texts), reverse=True)
            assert ranking.usage.pairs + ranking.usage.shared_pairs == len(set(texts))

        async def rank_and_maybe_cancel() -> None:
            task = asyncio.create_task(rank())
            for _ in range(dice.randrange(40)):
                await asyncio.sleep(0)
            if dice.random() < 0.5:
                task.cancel()
            with suppress(asyncio.CancelledError, DeadlineExceeded, Overloaded):
                await task

        for _ in range(20):
            await asyncio.gather(*(rank_and_maybe_cancel() for _ in range(15)))
        assert core.idle()
        await until(lambda: has_no_flights(core.model.scheduler))


def _texts(count: int) -> Iterator[str]:
    yield from (f"{number % 90} {number // 90}" for number in range(count))


async def test_cached_request_waits_for_room_too(small_model: Bundle) -> None:
    """Cached logits that are not taken yet use room."""
    async with running(
        small_model, limits=request_limits(room=16, part_documents=4), scores=ScoreCache(10_000 * ENTRY_BYTES)
    ) as core:
        texts = list(_texts(500))
        first, second = [await core.rank("0", *texts) for _ in range(2)]
        assert list(first) == list(second)
        assert second.usage.shared_pairs == 500
