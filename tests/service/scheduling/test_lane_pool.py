"""Schedulers of several models on the lanes of one pool, with real threads."""

import asyncio
import os
import sys
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from rerank_service.errors import NotReady
from rerank_service.scheduling.batch_cancellation import CancelToken
from rerank_service.scheduling.batch_run import Score
from rerank_service.scheduling.batching import Batch, EncodedPair, KeyedPair, Segment
from rerank_service.scheduling.cost_model import CostModel
from rerank_service.scheduling.lane_pool import LaneFailed, LanePool, LanePools, Share
from rerank_service.scheduling.lane_shares import CONTENDED_BATCH_SECONDS
from rerank_service.scheduling.scheduler import Scheduler
from rerank_service.scheduling.started_threads import ThreadsMissing
from rerank_service.thread_priority import NICE
from support.limits import batch_limits
from support.running import HeldScore

_EMPTY = Segment(np.array([], np.int64), np.array([], np.int64))


def lengths(batch: Batch, token: CancelToken) -> NDArray[np.float32]:
    """Return the length of each pair as its logit."""
    logits: NDArray[np.float32] = batch.attention_mask.sum(axis=1).astype(np.float32)
    return logits


def scheduler(
    score: Score = lengths, *, lanes: int = 1, cost: CostModel | None = None, max_pairs: int = 4
) -> Scheduler:
    """Return a scheduler whose batches hold at most four pairs."""
    limits = batch_limits(max_pairs=max_pairs, length_multiple=1)
    return Scheduler(score, limits, pad_id=0, lanes=lanes, cost=cost or CostModel((0.0, 1e-3, 0.0)), scores=None)


@asynccontextmanager
async def running(*members: tuple[Scheduler, Share]) -> AsyncIterator[None]:
    """Run schedulers on their shares during the block."""
    tasks = [asyncio.create_task(member.run(share)) for member, share in members]
    try:
        yield
    finally:
        for member, _ in members:
            member.close()
        await asyncio.gather(*tasks)


async def rank(member: Scheduler, sizes: Sequence[int]) -> list[float]:
    """Submit pairs of these lengths, and return their logits in order."""
    pairs = [EncodedPair(_EMPTY, np.ones(size, np.int64), _EMPTY, document_type=1) for size in sizes]
    logits: dict[int, float] = {}
    with member.submission(room=1000, priority=0, weight=1.0) as submission:
        await submission.add([KeyedPair(index, pair, b"") for index, pair in enumerate(pairs)])
        submission.finish()
        async for part in submission:
            logits.update(zip(part.indexes, part.logits, strict=True))
    return [logits[index] for index in range(len(sizes))]


def lane_threads() -> int:
    """Return how many lanes exist in this process."""
    return sum(thread.name.startswith("lane-") for thread in threading.enumerate())


async def test_two_models_share_one_lane() -> None:
    """Only one batch runs at once, and both models are answered."""
    running_now, most, lock = 0, 0, threading.Lock()

    def score(batch: Batch, token: CancelToken) -> NDArray[np.float32]:
        nonlocal running_now, most
        with lock:
            running_now += 1
            most = max(most, running_now)
        logits = lengths(batch, token)
        with lock:
            running_now -= 1
        return logits

    pool = LanePool()
    a, b = scheduler(score), scheduler(score)
    async with running((a, pool.share("a")), (b, pool.share("b"))):
        first, second = await asyncio.gather(rank(a, range(1, 200)), rank(b, range(1, 100)))
    assert (first, second) == (list(range(1, 200)), list(range(1, 100)))
    assert most == 1


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a priority for each thread")
async def test_lanes_give_way_to_the_event_loop() -> None:
    """They have a lower priority, and the thread that starts them keeps its own."""
    priorities = []

    def score(batch: Batch, token: CancelToken) -> NDArray[np.float32]:
        priorities.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
        return lengths(batch, token)

    before = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    member = scheduler(score)
    async with running((member, LanePool().share("a"))):
        assert await rank(member, [1]) == [1]
    assert priorities == [min(before + NICE, 19)]
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == before


async def test_a_free_lane_runs_the_other_model_beside_a_held_batch() -> None:
    """Both models have two lanes. A batch of each runs at the same time."""
    pool, score = LanePool(), HeldScore(lengths)
    a, b = scheduler(score, lanes=2), scheduler(lanes=2)
    async with running((a, pool.share("a")), (b, pool.share("b"))):
        score.hold()
        held = asyncio.create_task(rank(a, [7]))
        await score.started()
        assert await rank(b, [5, 6]) == [5, 6]
        score.release()
        assert await held == [7]


async def test_a_model_with_one_lane_takes_the_whole_pool() -> None:
    """It waits until the batches of the other model have ended, and then runs alone."""
    pool, score, alone = LanePool(), HeldScore(lengths), HeldScore(lengths)
    a, b = scheduler(score, lanes=2), scheduler(alone, lanes=1)
    async with running((a, pool.share("a")), (b, pool.share("b"))):
        score.hold()
        alone.hold()
        first = asyncio.create_task(rank(a, [7]))
        await score.started()
        second = asyncio.create_task(rank(b, [5]))
        while not b.waiting:
            await asyncio.sleep(0)
        third = asyncio.create_task(rank(a, [8]))
        while not a.waiting:
            await asyncio.sleep(0)
        assert alone.batches == []  # half of the pool is free, which is too little for b, and a does not overtake it
        score.release()
        await alone.started()
        assert score.batches == [[7]]
        alone.release()
        assert list(await asyncio.gather(first, second, third)) == [[7], [5], [8]]


async def test_an_old_version_finishes_while_the_new_one_serves() -> None:
    """Both use one share. The old one leaves the pool after its last request, and the new one goes on."""
    pool, score = LanePool(), HeldScore(lengths)
    old, new, share = scheduler(score, lanes=2), scheduler(lanes=2), pool.share("model")
    before = lane_threads()
    old_run = asyncio.create_task(old.run(share))

    async def accepted() -> list[float]:
        with old.in_use():
            return await rank(old, [7] * 3)

    score.hold()
    request = asyncio.create_task(accepted())
    await score.started()
    async with running((new, pool.share("model"))):
        assert not share.is_contended
        old.retire()
        assert await rank(new, [1, 2, 3]) == [1, 2, 3]
        assert not old_run.done()
        score.release()
        assert await request == [7] * 3
        await old_run
        assert await rank(new, [4]) == [4]
        assert lane_threads() == before + 2
    assert lane_threads() == before


async def test_an_error_in_a_lane_ends_its_model_only() -> None:
    """`run` of that model raises the error, and its live requests fail. The lane serves the other model."""

    class Broken(CostModel):
        def observe(self, rows: int, length: int, seconds: float) -> None:
            raise SystemError("a bug in the lane")

    pool = LanePool()
    good, bad = scheduler(), scheduler(cost=Broken())
    async with running((good, pool.share("good"))):
        task = asyncio.create_task(bad.run(pool.share("bad")))
        with pytest.raises(NotReady):
            await rank(bad, [1, 2, 3])
        with pytest.raises(SystemError):
            await task
        assert await rank(good, [1, 2, 3]) == [1, 2, 3]
        assert lane_threads() >= 1


async def test_requests_get_the_error_of_a_lane_while_another_lane_runs_a_batch() -> None:
    """The end of the scheduler waits for that batch, without blocking the event loop. One that hangs does not count."""
    score = HeldScore(lengths)
    score.hold()
    pool, member = LanePool(), scheduler(score, lanes=2)
    ended = asyncio.create_task(member.run(pool.share("")))
    request = asyncio.create_task(rank(member, [3] * 8))
    await score.started()
    await score.started()
    pool.fail(0, LaneFailed("lane 0 hangs"))
    with pytest.raises(NotReady):
        await request
    for _ in range(20):
        await asyncio.sleep(0)
    assert not ended.done()
    score.release()
    with pytest.raises(LaneFailed, match="lane 0 hangs"):
        await ended


async def test_an_error_that_is_no_exception_ends_its_model_only() -> None:
    """Native code may raise one. Without care it ends the thread, and requests wait for it."""

    def score(batch: Batch, token: CancelToken) -> NDArray[np.float32]:
        raise SystemExit("native code")

    pool = LanePool()
    good, bad = scheduler(), scheduler(score)
    async with running((good, pool.share("good"))):
        task = asyncio.create_task(bad.run(pool.share("bad")))
        with pytest.raises(NotReady):
            await rank(bad, [1, 2, 3])
        with pytest.raises(LaneFailed, match="native code"):
            await task
        assert await rank(good, [1, 2, 3]) == [1, 2, 3]


async def test_the_death_of_a_lane_ends_all_models() -> None:
    """Their requests fail at once, and `run` of each model raises the error, so the process ends."""
    broken = threading.Event()

    class Broken(Scheduler):
        @property
        def has_work(self) -> bool:
            if broken.is_set() and threading.current_thread().name.startswith("lane-"):
                raise SystemError("a bug in the lane")
            return super().has_work

    limits = batch_limits(length_multiple=1)
    pool = LanePool()
    a, b = Broken(lengths, limits, pad_id=0, lanes=1, cost=CostModel(), scores=None), scheduler()
    before = lane_threads()
    tasks = [asyncio.create_task(member.run(pool.share(name))) for name, member in (("a", a), ("b", b))]
    assert await rank(a, [1, 2]) == [1, 2]
    broken.set()
    failed = await asyncio.gather(rank(a, [1, 2, 3]), *tasks, return_exceptions=True)
    assert [type(error) for error in failed] == [NotReady, LaneFailed, LaneFailed]
    with pytest.raises(NotReady):
        await rank(b, [1])
    assert lane_threads() == before


async def test_missing_threads_mean_fewer_lanes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A container may limit threads. Without any thread, `run` raises the error, and leaves nothing in the pool."""
    allowed = 1
    start = threading.Thread.start

    def limited(thread: threading.Thread) -> None:
        nonlocal allowed
        if allowed == 0:
            raise RuntimeError("can't start new thread")
        allowed -= 1
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", limited)
    pool, member = LanePool(), scheduler(lanes=3)
    async with running((member, pool.share("a"))):
        assert await rank(member, range(1, 100)) == list(range(1, 100))
    with pytest.raises(ThreadsMissing, match="no lane"):
        await scheduler().run(pool.share("a"))
    allowed = 2
    member = scheduler(lanes=2)
    async with running((member, pool.share("a"))):
        assert await rank(member, [1, 2]) == [1, 2]


async def test_a_process_that_stood_still_does_not_charge_the_model_that_ran() -> None:
    """After SIGCONT, a batch seems to have taken 1,000 s. Its model waits for 1 s of the other one, not for 1,000 s."""
    seconds = 0.0
    ran: list[str] = []

    def score(batch: Batch, token: CancelToken, name: str) -> NDArray[np.float32]:
        nonlocal seconds
        seconds += 0.01 if ran else 1_000
        ran.append(name)
        return lengths(batch, token)

    pool = LanePool(lambda: seconds, lambda: 0.0)
    held = HeldScore(partial(score, name="stopped"))
    stopped, other = scheduler(held, max_pairs=1), scheduler(partial(score, name="other"), max_pairs=1)
    async with running((stopped, pool.share("stopped")), (other, pool.share("other"))):
        held.hold()
        first = asyncio.create_task(rank(stopped, [1] * 5))
        await held.started()
        second = asyncio.create_task(rank(other, [1] * 400))
        while not other.waiting:
            await asyncio.sleep(0)
        held.release()
        await asyncio.gather(first, second)
    assert ran[0] == "stopped"
    assert ran[-1] == "other", "the model whose batch was interrupted did not wait until the other had no work"


async def test_batches_are_short_while_other_models_are_loaded() -> None:
    """The cost model bounds their seconds, whether or not the other model has work."""
    pool, score = LanePool(), HeldScore(lengths)
    a, b = scheduler(score, cost=_FixedCost((0.0, 1.0, 0.0)), max_pairs=100), scheduler()  # a token takes 1 ms
    share = pool.share("a")
    async with running((a, share)):
        await rank(a, [10] * 20)
        assert max(map(len, score.batches)) > 2
        async with running((b, pool.share("b"))):
            while not share.is_contended:
                await asyncio.sleep(0)
            score.batches.clear()
            await rank(a, [7] * 20)
            assert {len(batch) for batch in score.batches} == {int(CONTENDED_BATCH_SECONDS / 0.007)}
            score.batches.clear()
            assert await rank(a, [50]) == [50]  # a single pair runs, however long it takes


@pytest.mark.parametrize("start", [0.01, 0.03, 0.1])
async def test_speed_is_that_of_the_batches_that_run(start: float) -> None:
    """Short batches are slower, since each has a start. Admission must not count with full ones."""
    pool, score, cost = LanePool(), HeldScore(lengths), _FixedCost((start, 0.5, 0.0))  # a row of 40 tokens takes 20 ms
    a, b = scheduler(score, cost=cost, lanes=2, max_pairs=100), scheduler()
    share = pool.share("a")
    async with running((a, share), (b, pool.share("b"))):
        while not share.is_contended:
            await asyncio.sleep(0)
        await rank(a, [40] * 50)
        rows = max(map(len, score.batches))
        assert a.tokens_per_second(40) == pytest.approx(2 * rows * 40 / cost.seconds(rows, 40))


class _FixedCost(CostModel):
    def observe(self, rows: int, length: int, seconds: float) -> None:
        """Keep the weights."""


async def test_a_share_keeps_its_weight_and_pools_are_apart() -> None:
    """A share is named once in a pool. Each device has a pool."""
    pools = LanePools()
    pool = pools.of("cpu")
    share = pool.share("a", 2.0)
    assert pool.share("a", 3.0) is share
    assert share.account.weight == 3.0
    assert pools.of("cpu") is pool
    assert pools.of("cuda") is not pool
    assert share.fraction == 1.0


_requests = st.lists(
    st.tuples(st.integers(0, 2), st.lists(st.integers(1, 40), min_size=1, max_size=30), st.booleans()), max_size=12
)


@settings(max_examples=25)
@given(lanes=st.tuples(*[st.integers(1, 3)] * 3), weights=st.tuples(*[st.floats(0.1, 10.0)] * 3), requests=_requests)
def test_no_pair_is_lost(
    lanes: tuple[int, ...], weights: tuple[float, ...], requests: list[tuple[int, list[int], bool]]
) -> None:
    """Three models with different lanes and weights answer all requests, also if a new version replaces one of them
    while it has work."""

    async def scenario() -> None:
        pool = LanePool()
        shares = [pool.share(str(number), weight) for number, weight in enumerate(weights)]
        serving = [scheduler(lanes=count) for count in lanes]
        runs = [asyncio.create_task(member.run(share)) for member, share in zip(serving, shares, strict=True)]
        answers: list[asyncio.Task[list[float]]] = []

        async def accepted(member: Scheduler, sizes: list[int]) -> list[float]:
            with member.in_use():
                return await rank(member, sizes)

        for model, sizes, swap in requests:
            answers.append(asyncio.create_task(accepted(serving[model], sizes)))
            await asyncio.sleep(0)
            if swap:
                old, serving[model] = serving[model], scheduler(lanes=lanes[model])
                runs.append(asyncio.create_task(serving[model].run(shares[model])))
                old.retire()
        assert await asyncio.gather(*answers) == [sizes for _, sizes, _ in requests]
        for member in serving:
            member.close()
        await asyncio.gather(*runs)

    asyncio.run(asyncio.wait_for(scenario(), 30))
