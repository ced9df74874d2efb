"""The scheduler and its lanes. Covers scheduler, submission, batch_run and delivery."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractContextManager, asynccontextmanager
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray
from structlog.testing import capture_logs

from rerank_service.errors import InferenceFailed, NotReady, OutOfMemory
from rerank_service.scheduling.batch_cancellation import CancelToken
from rerank_service.scheduling.batching import Batch, BatchLimits, EncodedPair, KeyedPair, Segment
from rerank_service.scheduling.cost_model import CostModel
from rerank_service.scheduling.delivery import MAX_DELIVERIES
from rerank_service.scheduling.scheduler import Scheduler
from rerank_service.scheduling.submission import Submission
from support.limits import batch_limits
from support.running import CancellableScore, HeldScore, running_lanes

_EMPTY = Segment(np.array([], np.int64), np.array([], np.int64))
_BAD = 666


def pair(length: int, *, bad: bool = False) -> EncodedPair:
    """Return a pair of that many tokens."""
    return EncodedPair(_EMPTY, np.full(length, _BAD if bad else 1, np.int64), _EMPTY, document_type=1)


def keyed(*pairs: EncodedPair, first: int = 0) -> list[KeyedPair]:
    """Return pairs of consecutive documents. Their keys are not used without a score cache."""
    return [KeyedPair(index, pair, b"") for index, pair in enumerate(pairs, first)]


def lengths(batch: Batch, token: CancelToken) -> NDArray[np.float32]:
    """Return the length of each pair as its logit; raise for a bad pair."""
    if (batch.input_ids == _BAD).any():
        raise ValueError("bad pair")
    logits: NDArray[np.float32] = batch.attention_mask.sum(axis=1).astype(np.float32)
    return logits


@asynccontextmanager
async def lanes(score: HeldScore, limits: BatchLimits | None = None, count: int = 1) -> AsyncIterator[Scheduler]:
    """Run a scheduler during the block."""
    limits = limits or batch_limits(length_multiple=1)
    scheduler = Scheduler(score, limits, pad_id=0, lanes=count, cost=CostModel(), scores=None, model="docs")
    async with running_lanes(scheduler, score):
        yield scheduler


async def collect(submission: Submission) -> list[float]:
    """Return the logits in the order in which pairs were added."""
    logits: dict[int, float] = {}
    async for part in submission:
        logits.update(zip(part.indexes, part.logits, strict=True))
    return [logits[index] for index in sorted(logits)]


def submit(scheduler: Scheduler, *, room: int) -> AbstractContextManager[Submission]:
    """Register a request with the default priority and weight."""
    return scheduler.submission(room=room, priority=0, weight=1.0)


async def score_all(
    scheduler: Scheduler, pairs: Sequence[EncodedPair], priority: int = 0, weight: float = 1.0
) -> list[float]:
    """Submit pairs and wait for their logits."""
    with scheduler.submission(priority=priority, weight=weight, room=100) as submission:
        await submission.add(keyed(*pairs))
        submission.finish()
        return await collect(submission)


async def until(scheduler: Scheduler, waiting: int) -> None:
    """Let other tasks run until that many pairs wait."""
    while scheduler.waiting != waiting:
        await asyncio.sleep(0)


async def test_waiting_requests_share_a_batch() -> None:
    """Pairs that queue while the lane is busy run together, similar lengths side by side."""
    score = HeldScore(lengths)
    async with lanes(score) as scheduler:
        score.hold()
        first = asyncio.create_task(score_all(scheduler, [pair(7)]))
        await score.started()
        others = [asyncio.create_task(score_all(scheduler, [pair(19), pair(20), pair(5)])) for _ in range(2)]
        await until(scheduler, 6)
        score.release()
        assert await asyncio.gather(first, *others) == [[7], [19, 20, 5], [19, 20, 5]]
    assert score.batches == [[7], [20, 20, 19, 19], [5, 5]]


async def test_lower_priority_number_runs_first() -> None:
    """Within one priority the smaller request runs first, since it would finish first with equal shares."""
    score = HeldScore(lengths)
    async with lanes(score, batch_limits(max_pairs=1, length_multiple=1)) as scheduler:
        score.hold()
        tasks = [asyncio.create_task(score_all(scheduler, [pair(9)]))]
        await score.started()
        for waiting, (length, priority) in enumerate([(4, 5), (3, 0), (2, -1), (1, 0)], 1):
            tasks.append(asyncio.create_task(score_all(scheduler, [pair(length)], priority)))
            await until(scheduler, waiting)
        score.release()
        await asyncio.gather(*tasks)
    assert score.batches == [[9], [2], [1], [3], [4]]


async def test_lanes_are_shared_by_weight() -> None:
    """While both requests have waiting pairs, the one of weight 3 gets three batches for each batch of the other."""
    score = HeldScore(lengths)
    async with lanes(score, batch_limits(max_pairs=1, max_tokens=16, length_multiple=1)) as scheduler:
        score.hold()
        first = asyncio.create_task(score_all(scheduler, [pair(9)]))
        await score.started()
        tasks = [first]
        for waiting, (length, weight) in enumerate([(7, 1.0), (8, 3.0)], 1):
            tasks.append(asyncio.create_task(score_all(scheduler, [pair(length)] * 400, weight=weight)))
            await until(scheduler, waiting * 400)
        score.release()
        await asyncio.gather(*tasks)
    # the first round of a new request is not shared by weight
    both = [length for (length,) in score.batches[100:500]]
    assert 2.4 < both.count(8) * 8 / (both.count(7) * 7) < 3.6


async def test_cancelled_request_leaves_the_queue_at_once() -> None:
    """Its pairs never run; those of other requests do."""
    score = HeldScore(lengths)
    async with lanes(score) as scheduler:
        score.hold()
        running = asyncio.create_task(score_all(scheduler, [pair(7)]))
        await score.started()
        cancelled = asyncio.create_task(score_all(scheduler, [pair(5), pair(5)]))
        stays = asyncio.create_task(score_all(scheduler, [pair(4)]))
        await until(scheduler, 3)
        cancelled.cancel()
        await asyncio.gather(cancelled, return_exceptions=True)
        assert scheduler.waiting == 1
        score.release()
        assert list(await asyncio.gather(running, stays)) == [[7], [4]]
    assert score.batches == [[7], [4]]


async def test_batch_without_requests_is_cancelled() -> None:
    """It is cancelled when its last request leaves, not earlier. The lane then takes the next batch."""
    score = HeldScore(cancellable := CancellableScore(lengths))
    async with lanes(score) as scheduler:
        with scheduler._lock:  # so that both are queued when the lane takes a batch
            first, second = submit(scheduler, room=9), submit(scheduler, room=9)
            first_submission, second_submission = first.__enter__(), second.__enter__()
            await first_submission.add(keyed(pair(7)))
            await second_submission.add(keyed(pair(7)))
        await score.started()
        first.__exit__(None, None, None)
        assert not cancellable.cancelled.is_set()
        second.__exit__(None, None, None)
        assert cancellable.cancelled.is_set()
        assert await score_all(scheduler, [pair(6)]) == [6]
    assert cancellable.batches == [2, 1]


async def test_bad_pair_fails_only_its_own_request() -> None:
    """The batch is halved until the bad pair is alone. The error names its document."""
    score = HeldScore(lengths)
    async with lanes(score) as scheduler:
        score.hold()
        first = asyncio.create_task(score_all(scheduler, [pair(7)]))
        await score.started()
        good = asyncio.create_task(score_all(scheduler, [pair(2), pair(3), pair(4)]))
        bad = asyncio.create_task(score_all(scheduler, [pair(2), pair(3, bad=True)]))
        await until(scheduler, 5)
        score.release()
        assert list(await asyncio.gather(first, good)) == [[7], [2, 3, 4]]
        with pytest.raises(InferenceFailed, match=r"documents\[1\]"):
            await bad
        assert await score_all(scheduler, [pair(6)]) == [6]


def _with_memory_for(tokens: int) -> Callable[[Batch, CancelToken], NDArray[np.float32]]:
    """Return the score function of a device with memory for that many padded tokens."""

    def score(batch: Batch, token: CancelToken) -> NDArray[np.float32]:
        if batch.rows * batch.length > tokens:
            raise OutOfMemory("there is no memory")
        return lengths(batch, token)

    return score


async def test_batch_without_memory_is_halved_and_later_batches_are_smaller() -> None:
    """All pairs are scored, and not each batch fails first. The log names the model: a server may have several."""
    score = HeldScore(_with_memory_for(40))
    limits = batch_limits(max_tokens=120, min_tokens=120, length_multiple=1)
    with capture_logs() as lines:
        async with lanes(score, limits) as scheduler:
            assert await score_all(scheduler, [pair(10)] * 36) == [10] * 36
    assert {(line["event"], line["model"]) for line in lines} == {("out of memory", "docs")}
    sizes = [len(batch) for batch in score.batches]
    assert sizes[:7] == [12, 6, 3, 3, 6, 3, 3]
    assert set(sizes[7:]) <= {2, 3, 4}


async def test_pair_that_exceeds_the_memory_fails_alone() -> None:
    """The error says so, after two further runs. The budget stays, since no smaller batch can hold the pair."""
    score = HeldScore(_with_memory_for(40))
    async with lanes(score, batch_limits(max_tokens=40, length_multiple=1)) as scheduler:
        with pytest.raises(OutOfMemory, match=r"no memory for documents\[0\], of 50 tokens"):
            await score_all(scheduler, [pair(50)])
        assert await score_all(scheduler, [pair(10)] * 4) == [10] * 4
        assert score.batches == [[50], [50], [50], [10] * 4]


@pytest.mark.parametrize("failures", [1, 2])
async def test_pair_without_memory_runs_again(failures: int) -> None:
    """The first run after the failure shrinks the memory arena at its end, so the second one may have enough."""
    left = iter(range(failures))

    def full_at_first(batch: Batch, token: CancelToken) -> NDArray[np.float32]:
        if next(left, None) is not None:
            raise OutOfMemory("there is no memory")
        return lengths(batch, token)

    async with lanes(HeldScore(full_at_first)) as scheduler:
        assert await score_all(scheduler, [pair(50)]) == [50]


class _SharedMemory:
    """A device whose memory all running batches share. Its first batch holds its memory until the test frees it."""

    def __init__(self, tokens: int) -> None:
        self._free = tokens
        self._lock = threading.Lock()
        self.begun = threading.Event()
        self.full = threading.Event()
        self.freed = threading.Event()

    def __call__(self, batch: Batch, token: CancelToken) -> NDArray[np.float32]:
        size = batch.rows * batch.length
        with self._lock:
            if size > self._free:
                self.full.set()
                raise OutOfMemory("there is no memory")
            self._free -= size
        self.begun.set()
        self.freed.wait()
        with self._lock:
            self._free += size
        return lengths(batch, token)


async def test_pair_without_memory_runs_again_when_other_batches_have_ended() -> None:
    """They used the memory that it needs."""
    memory = _SharedMemory(60)
    limits = batch_limits(max_tokens=40, min_tokens=40, length_multiple=1)
    async with lanes(HeldScore(memory), limits, count=2) as scheduler:
        try:
            first = asyncio.create_task(score_all(scheduler, [pair(10)] * 4))
            await asyncio.to_thread(memory.begun.wait)
            large = asyncio.create_task(score_all(scheduler, [pair(50)]))
            await asyncio.to_thread(memory.full.wait)
        finally:
            memory.freed.set()
        assert list(await asyncio.gather(first, large)) == [[10] * 4, [50]]


async def test_add_waits_for_room() -> None:
    """A request without room waits until some of its pairs are scored."""
    score = HeldScore(lengths)
    async with lanes(score) as scheduler:
        score.hold()
        with submit(scheduler, room=2) as submission:
            await submission.add(keyed(pair(1), pair(2)))
            more = asyncio.create_task(submission.add(keyed(pair(3), first=2)))
            await score.started()
            assert not more.done()
            score.release()
            first = await anext(submission)
            await more
            submission.finish()
            assert [*first.logits, *await collect(submission)] == [2, 1, 3]


async def test_untaken_scores_use_room() -> None:
    """Otherwise a client that does not read its partial scores would fill the memory."""
    async with lanes(HeldScore(lengths)) as scheduler:
        with submit(scheduler, room=2) as submission:
            await submission.add(keyed(pair(1), pair(2)))
            submission.add_known([2], [9.0])
            more = asyncio.create_task(submission.add(keyed(pair(3), first=3)))
            first = await anext(submission)
            for _ in range(20):  # turns of the event loop, in which an `add` that does not wait would return
                await asyncio.sleep(0)
            assert not more.done()
            logits = [*first.logits, *(await anext(submission)).logits]
            await more
            submission.finish()
            assert sorted([*logits, *await collect(submission)]) == [1, 2, 3, 9]


async def test_two_lanes_run_two_batches_at_once() -> None:
    """Both batches start before either ends."""
    score = HeldScore(lengths)
    async with lanes(score, batch_limits(max_pairs=1), count=2) as scheduler:
        score.hold()
        task = asyncio.create_task(score_all(scheduler, [pair(1), pair(2)]))
        await score.started()
        await score.started()
        score.release()
        assert await task == [1, 2]


async def test_closed_scheduler_rejects_new_pairs() -> None:
    """A batch that already runs still delivers its logits."""
    score = HeldScore(lengths)
    async with lanes(score) as scheduler:
        score.hold()
        waiting = asyncio.create_task(score_all(scheduler, [pair(1)]))
        await score.started()
        scheduler.close()
        late = asyncio.create_task(score_all(scheduler, [pair(1)]))
        with pytest.raises(NotReady):
            await late
        score.release()
        assert await waiting == [1]


async def test_cancelling_run_cancels_the_running_batch() -> None:
    """The request that waits for it fails at once."""
    score = HeldScore(cancellable := CancellableScore(lengths))
    scheduler = Scheduler(score, batch_limits(length_multiple=1), pad_id=0, lanes=1, cost=CostModel(), scores=None)
    running = asyncio.create_task(scheduler.run())
    waiting = asyncio.create_task(score_all(scheduler, [pair(1)]))
    await score.started()
    running.cancel()
    with pytest.raises(NotReady):
        await waiting
    assert cancellable.cancelled.is_set()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_error_in_a_lane_ends_run() -> None:
    """`run` raises the error, and live requests fail instead of waiting forever."""

    class Broken(CostModel):
        def observe(self, rows: int, length: int, seconds: float) -> None:
            raise SystemError("a bug in the lane")

    scheduler = Scheduler(lengths, batch_limits(), pad_id=0, lanes=1, cost=Broken(), scores=None)
    task = asyncio.create_task(scheduler.run())
    with pytest.raises(NotReady):
        await score_all(scheduler, [pair(1)])
    with pytest.raises(SystemError):
        await task


async def test_a_batch_is_delivered_to_a_few_requests_in_each_turn() -> None:
    """Each turn of the event loop lets a few of them go on, so that others are not kept waiting."""
    count, score = 3 * MAX_DELIVERIES, HeldScore(lengths)
    async with lanes(score) as scheduler:
        score.hold()
        first = asyncio.create_task(score_all(scheduler, [pair(1)]))
        await score.started()
        tasks = [asyncio.create_task(score_all(scheduler, [pair(2)])) for _ in range(count)]
        await until(scheduler, count)
        score.release()
        done = [0]
        while done[-1] < count:
            await asyncio.sleep(0)
            done.append(sum(task.done() for task in tasks))
        await first
    assert score.batches == [[1], [2] * count]
    assert max(after - before for before, after in pairwise(done)) == MAX_DELIVERIES
