"""The scheduler of one model: the queue of its waiting pairs, and their batches.

The lanes of a pool run the batches: as soon as one is free, it takes the next batch, which holds pairs of similar
length from all live requests. There is no timer: under load, batches grow because pairs wait; without load, a pair runs
at once.

Rule 1: `fair_queue.py` chooses the next batch, `shared_pairs.py` skips pairs that another request scores,
`batch_run.py` runs the batch, and `lane_pool.py` decides which model is next. This file connects them to the requests.
Rule 2: `_queue`, `_running`, `_shared`, `_speed` and `_closed` are used under the lock `_lock`, with two exceptions:
`waiting` and `has_work` read single values, and `cached_logits` uses the score cache, which has a lock of its own. All
other state, and every Submission, is used on the event loop only.
"""

import asyncio
import math
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import structlog

from rerank_service.errors import NotReady
from rerank_service.paced_calls import PacedCalls
from rerank_service.scheduling.batch_cancellation import CancelToken
from rerank_service.scheduling.batch_run import (
    BatchCancelled,
    BatchRunner,
    BatchScored,
    MemoryExceeded,
    Outcome,
    PairFailed,
    Score,
)
from rerank_service.scheduling.batching import BatchLimits, EncodedPair
from rerank_service.scheduling.cost_model import CostModel
from rerank_service.scheduling.delivery import MAX_DELIVERIES, parts_of_batch, parts_of_known
from rerank_service.scheduling.engine_check import CheckedRunner
from rerank_service.scheduling.fair_queue import FairQueue
from rerank_service.scheduling.lane_pool import LanePool, Membership, Share
from rerank_service.scheduling.lane_speed import LaneSpeed
from rerank_service.scheduling.running_batches import RunningBatches
from rerank_service.scheduling.score_cache import ScoreCache
from rerank_service.scheduling.shared_pairs import SharedPairs
from rerank_service.scheduling.submission import Scored, ScoredPair, Submission, WaitingPair
from rerank_service.scheduling.totals import WorkCounter

_log = structlog.get_logger()


class Scheduler:
    """Runs the pairs of all requests of a model in batches, and returns the logits to their owners."""

    def __init__(
        self,
        score: Score,
        limits: BatchLimits,
        *,
        pad_id: int,
        lanes: int,
        cost: CostModel,
        scores: ScoreCache | None,
        short: EncodedPair | None = None,
        model: str = "",
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """`pad_id` is the token id of padding, `lanes` the number of batches that run at once. `cost` learns from each
        batch that runs. With `scores`, equal pairs of several requests are scored once. `short` is a pair by which a
        broken engine is recognized (engine_check.py), `model` the name for messages. `clock` returns seconds."""
        self.clock = clock
        self.limits = limits
        self.work = WorkCounter()
        """Totals of the work that was done. The registry replaces it before the lanes run."""
        self._runner = CheckedRunner(BatchRunner(score, limits, pad_id=pad_id, clock=clock), short, model=model)
        self._model = model
        self.lanes = lanes
        """Number of batches that run at once."""
        self._speed = LaneSpeed(cost, limits, lanes=lanes)
        self._queue: FairQueue[Submission, WaitingPair] = FairQueue(limits, lanes=lanes)
        self._lock = threading.RLock()
        self._closed = self._retired = False
        self._users = 0
        self._live: set[Submission] = set()
        self._running: RunningBatches[Submission] = RunningBatches()
        self._shared = None if scores is None else SharedPairs(scores, self._running)
        self._deliveries: PacedCalls | None = None
        self._membership: Membership | None = None

    @property
    def waiting(self) -> int:
        """Number of pairs in the queue."""
        return self._queue.pairs  # one int, so it needs no lock

    def live_requests(self) -> tuple[int, int]:
        """Return the number of requests that wait, and of those that need a running batch."""
        with self._lock:
            running = self._running.requests()
        return len(self._live) - len(running & self._live), len(running)

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Keep the lanes running until the block ends, even if `retire` is called."""
        self._users += 1
        try:
            yield
        finally:
            self._users -= 1
            self._close_if_unused()

    def retire(self) -> None:
        """Close when no request uses this scheduler any more. New requests use another one."""
        self._retired = True
        self._close_if_unused()

    def _close_if_unused(self) -> None:
        if self._retired and not self._users:
            self.close()

    @contextmanager
    def submission(self, *, room: int, priority: int, weight: float) -> Iterator[Submission]:
        """Register a request in the queue. At the end of the block its waiting pairs leave the queue, and a running
        batch that no other request needs is cancelled.

        `room` is the maximum number of pairs in progress. Lower priority numbers run first. `weight` is the share of
        the lanes.
        """
        submission = Submission(self._enqueue, self.clock, room)
        self._live.add(submission)
        with self._lock:
            self._queue.enter(submission, priority=priority, weight=weight)
        try:
            yield submission
        finally:
            self._live.discard(submission)
            with self._lock:
                self._queue.leave(submission)
                unneeded = self._running.leave(submission)
            for token in unneeded:
                token.cancel()

    def _enqueue(self, submission: Submission, entries: Sequence[WaitingPair]) -> None:
        with self._lock:
            if self._closed:
                raise NotReady("the server is stopping")
            self._queue.add(submission, [(len(entry.pair), entry) for entry in entries])
        self._wake()

    def cached_logits(self, keys: Sequence[bytes]) -> list[float | None]:
        """Return the cached logit of each pair; None for pairs without one."""
        if self._shared is None:
            return [None] * len(keys)
        logits = [self._shared.cached_logit(key) for key in keys]
        self.work.count_cache_hits(len(keys) - logits.count(None))
        return logits

    def tokens_per_second(self, length: float) -> float:
        """Return the speed of all lanes in padded tokens per second, for pairs of `length` tokens and one model."""
        with self._lock:
            return self._speed.tokens_per_second(length, self._queue.batch_tokens, contended=self._is_contended)

    @property
    def _is_contended(self) -> bool:
        return self._membership is not None and self._membership.share.is_contended

    @property
    def lanes_share(self) -> float:
        """The part of the lanes, above 0 and up to 1, that this model can get if other models go on as lately."""
        return 1.0 if self._membership is None else self._membership.share.fraction

    async def run(self, share: Share | None = None) -> None:
        """Run batches until `close` or cancellation: on the lanes of a pool that other models share, or on lanes of
        its own.

        Raises the error that ends a batch. All live submissions then fail, so that no request waits forever.
        """
        self._deliveries = PacedCalls(asyncio.get_running_loop(), MAX_DELIVERIES)
        share = share or LanePool(self.clock).share("")
        with share.pool.member(self, share) as membership:
            self._membership = membership
            if self._closed:
                membership.close()
            try:
                await membership.ended()
            finally:
                self.close()  # from now on no pair can be queued
                self._deliveries.run_all()
                for submission in self._live:  # the requests leave, which cancels the running batches
                    submission.fail(NotReady("the server is stopping"))
                await membership.idle()
                self._membership = None

    def close(self) -> None:
        """Let no further batch start. Waiting pairs do not run."""
        with self._lock:
            self._closed = True
        if self._membership is not None:
            self._membership.close()

    def _wake(self) -> None:
        if self._membership is not None:
            self._membership.wake()

    @property
    def has_work(self) -> bool:
        """True if pairs wait that may run."""
        return self._queue.pairs > 0 and not self._closed

    def run_batch(self, lane: int) -> bool:
        """Run the next batch, and deliver its logits. Called by a lane; blocks. Return False if no pair runs."""
        token = CancelToken()
        with self._lock:
            if not self.has_work:
                return False
            entries, cached = self._take(token)
        self._deliver_known(cached)
        if not entries:
            return False
        started = self.clock()
        for outcome in self._runner.run(entries, token):
            self._deliver_outcome(outcome, token)
        self.work.count_busy(lane, self.clock() - started)
        with self._lock:
            self._running.end(token)
        return True

    def _take(self, token: CancelToken) -> tuple[list[WaitingPair], list[ScoredPair]]:
        """Take the next batch from the queue. Called under the lock.

        Returns the pairs that must run, perhaps none, and the pairs whose logits are cached.
        """
        max_rows = partial(self._speed.max_rows, contended=self._is_contended)
        self._running.start(token)
        if self._shared:
            entries, cached = self._shared.take(self._queue, token, max_rows)
        else:
            entries, cached = self._queue.take(max_rows=max_rows), []
        if entries:
            self._running.need(token, {entry.owner for entry in entries})
        else:
            self._running.end(token)
        return entries, cached

    def _deliver_outcome(self, outcome: Outcome, token: CancelToken) -> None:
        """Deliver the outcome of a batch, or of a part of it, to the requests."""
        match outcome:
            case BatchScored():
                self._learn(outcome)
                # in this order: when a request ends, an equal one finds its scores in the cache
                self._finish_flights(outcome.entries, outcome.logits, token)
                self._deliver_parts(parts_of_batch(outcome, self.limits))
            case BatchCancelled():
                self._finish_flights(outcome.entries, [math.nan] * len(outcome.entries), token)
            case MemoryExceeded():
                self._shrink(outcome)
            case PairFailed():
                self._on_loop([partial(outcome.entry.owner.fail, outcome.error)])
                self._finish_flights([outcome.entry], [math.nan], token)

    def _learn(self, batch: BatchScored) -> None:
        padded_tokens = batch.rows * batch.length
        self.work.count_batch(batch.rows, real_tokens=batch.real_tokens, padded_tokens=padded_tokens)
        with self._lock:
            self._speed.cost.observe(batch.rows, batch.length, batch.ended - batch.started)
            self._queue.budget.grow(padded_tokens)

    def _shrink(self, exceeded: MemoryExceeded) -> None:
        """Make later batches smaller than the one that ran out of memory, so that not each of them fails first."""
        with self._lock:
            self._queue.budget.shrink(exceeded.tokens)
            max_batch_tokens = self._queue.budget.tokens
        _log.warning("out of memory", model=self._model, error=str(exceeded.error), max_batch_tokens=max_batch_tokens)

    def _finish_flights(self, entries: Sequence[WaitingPair], logits: Sequence[float], token: CancelToken) -> None:
        """End the runs of pairs. Equal pairs of other requests that waited for them get the logits; those without a
        finite logit are queued again."""
        if self._shared is None:
            return
        with self._lock:
            finished = self._shared.finish(entries, logits, token)
            for entry in finished.unscored:
                if entry.owner in self._queue:
                    self._queue.add(entry.owner, [(len(entry.pair), entry)])
        if finished.unscored:
            self._wake()
        self._deliver_known(finished.scored)

    def _deliver_known(self, scored: Sequence[ScoredPair]) -> None:
        """Deliver pairs that did not run for their request."""
        self.work.count_cache_hits(len(scored))
        self._deliver_parts(parts_of_known(scored, self.limits, self.clock()))

    def _deliver_parts(self, parts: Iterable[tuple[Submission, Scored]]) -> None:
        self._on_loop([partial(owner.deliver, part) for owner, part in parts])

    def _on_loop(self, calls: Sequence[Callable[[], None]]) -> None:
        """Run calls on the event loop, from a lane."""
        assert self._deliveries is not None
        if calls:
            self._deliveries.add_threadsafe(calls)
