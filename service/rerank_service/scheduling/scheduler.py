"""The queue of waiting pairs, and the lanes that run them.

A lane is a thread that takes the next batch the moment it is free: pairs of all live requests, those of similar length
together. There is no timer: under load, batches grow because pairs wait; without load, a pair runs at once.

Rule 1: fair_queue.py decides what runs next, batch_run.py runs it; this file connects them to the requests.
Rule 2: `_queue`, `_running`, `_single_flight` and `_closed` are used under the lock; a Submission on the event loop.
"""

import asyncio
import math
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import structlog

from rerank_service.errors import NotReady
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
from rerank_service.scheduling.batching import BatchLimits
from rerank_service.scheduling.cost_model import CostModel
from rerank_service.scheduling.delivery import parts_of_batch, parts_of_known
from rerank_service.scheduling.fair_queue import FairQueue
from rerank_service.scheduling.memory_budget import TokenBudget
from rerank_service.scheduling.score_cache import ScoreCache
from rerank_service.scheduling.single_flight import SingleFlight
from rerank_service.scheduling.submission import Scored, Submission, WaitingPair

_log = structlog.get_logger()


class Scheduler:
    """Takes pairs of all requests, runs them in batches on lanes, and returns the logits to their owners."""

    def __init__(
        self,
        score: Score,
        limits: BatchLimits,
        *,
        pad_id: int,
        lanes: int = 1,
        clock: Callable[[], float] = time.perf_counter,
        cost: CostModel | None = None,
        scores: ScoreCache | None = None,
    ) -> None:
        """`cost` learns from each batch that runs. With `scores`, equal pairs of several requests are scored once."""
        self.clock = clock
        self._runner = BatchRunner(score, limits, pad_id=pad_id, clock=clock)
        self.limits = limits
        self._lanes = lanes
        self._cost = cost or CostModel()
        self._queue: FairQueue[Submission, WaitingPair] = FairQueue(limits, lanes=lanes)
        self._budget = TokenBudget(limits.max_tokens)
        self._changed = threading.Condition()
        self._closed = False
        self._retired = False
        self._users = 0
        self._live: set[Submission] = set()
        self._running: dict[CancelToken, set[Submission]] = {}
        """The requests that want each running batch, or wait for one of its pairs."""
        self._single_flight: SingleFlight[CancelToken, WaitingPair] | None = (
            None if scores is None else SingleFlight(scores)
        )
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def waiting(self) -> int:
        """Number of pairs in the queue."""
        return self._queue.pairs

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Keep the lanes running until the block ends, also after `retire`."""
        self._users += 1
        try:
            yield
        finally:
            self._users -= 1
            self._close_if_unused()

    def retire(self) -> None:
        """Close when the requests that use this scheduler are done: new requests use another one."""
        self._retired = True
        self._close_if_unused()

    def _close_if_unused(self) -> None:
        if self._retired and not self._users:
            self.close()

    @contextmanager
    def submission(self, *, room: int, priority: int = 0, weight: float = 1.0) -> Iterator[Submission]:
        """Give a request a place in the queue. At the end of the block its waiting pairs are withdrawn, and a batch
        that runs for no other request is cancelled."""
        submission = Submission(self._enqueue, self.clock, room)
        self._live.add(submission)
        with self._changed:
            self._queue.enter(submission, priority=priority, weight=weight)
        try:
            yield submission
        finally:
            self._live.discard(submission)
            with self._changed:
                self._queue.leave(submission)
                unwanted = [token for token, owners in self._running.items() if owners == {submission}]
                for owners in self._running.values():
                    owners.discard(submission)
            for token in unwanted:
                token.cancel()

    def _enqueue(self, submission: Submission, entries: Sequence[WaitingPair]) -> None:
        with self._changed:
            if self._closed:
                raise NotReady("the server is stopping")
            self._queue.add(submission, [(len(entry.pair), entry) for entry in entries])
            self._changed.notify_all()

    def known(self, keys: Sequence[bytes]) -> list[float | None]:
        """Return the cached logit of each pair; None where there is none."""
        if self._single_flight is None:
            return [None] * len(keys)
        return [self._single_flight.known(key) for key in keys]

    def padded(self, length: int) -> int:
        """Return the tokens that a pair of `length` tokens takes at least."""
        return self.limits.padded(length)

    def tokens_per_second(self, length: float) -> float:
        """Return the expected speed of all lanes together, for pairs of `length` tokens."""
        row = self.limits.padded(max(1, round(length)))
        with self._changed:
            rows = max(1, min(self.limits.max_pairs, self._queue.max_tokens // row))
            return self._lanes * rows * row / self._cost.seconds(rows, row)

    async def run(self) -> None:
        """Run the lanes until `close` or cancellation.

        Raises the error that ends a lane. All live submissions fail then, so that no request waits forever.
        """
        self._loop = asyncio.get_running_loop()
        pool = ThreadPoolExecutor(self._lanes, thread_name_prefix="lane")
        lanes = [self._loop.run_in_executor(pool, self._lane) for _ in range(self._lanes)]
        try:
            await asyncio.gather(*map(asyncio.shield, lanes))
        finally:
            self.close()
            self._fail_live()  # its requests leave, which cancels the batches that run
            await asyncio.wait(lanes)
            pool.shutdown()
            self._fail_live()

    def _fail_live(self) -> None:
        for submission in self._live:
            submission.finish(NotReady("the server is stopping"))

    def close(self) -> None:
        """Let each lane end after the batch it runs. Waiting pairs are not run."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _lane(self) -> None:
        while entries := self._next(token := CancelToken()):
            for outcome in self._runner.run(entries, token):
                self._settle(outcome, token)
            with self._changed:
                del self._running[token]

    def _next(self, token: CancelToken) -> list[WaitingPair]:
        """Wait for the next batch, and return its pairs; none when the scheduler is closed."""
        while True:
            known: list[tuple[WaitingPair, float]] = []
            with self._changed:
                while not self._queue.pairs and not self._closed:
                    self._changed.wait()
                if self._closed:
                    return []
                self._running[token] = set()
                spared = partial(self._spared, token, known) if self._single_flight is not None else None
                entries = self._queue.take(spared)
                self._running[token] |= {entry.owner for entry in entries}
            self._deliver(parts_of_known(known, self.padded, self.clock()))
            if entries:
                return entries

    def _spared(self, token: CancelToken, known: list[tuple[WaitingPair, float]], entry: WaitingPair) -> bool:
        """Return True where a pair need not run: its logit is cached, or another batch computes it."""
        if entry.key is None:
            return False
        assert self._single_flight is not None
        if (logit := self._single_flight.known(entry.key)) is not None:
            known.append((entry, logit))
            return True
        runs_in = self._single_flight.runs_in(entry.key)
        # this batch has no owners yet; another one without owners is about to be cancelled
        if runs_in is not None and (runs_in is token or self._running[runs_in]):
            self._running[runs_in].add(entry.owner)
            self._single_flight.follow(entry.key, entry)
            return True
        self._single_flight.lead(entry.key, token)
        return False

    def _settle(self, outcome: Outcome, token: CancelToken) -> None:
        match outcome:
            case BatchScored():
                self._learn(outcome)
                self._deliver(parts_of_batch(outcome, self.padded))
                self._land(outcome.entries, outcome.logits, token)
            case BatchCancelled():
                self._land(outcome.entries, [math.nan] * len(outcome.entries), token)
            case MemoryExceeded():
                self._shrink(outcome)
            case PairFailed():
                self._call(outcome.entry.owner.finish, outcome.error)
                self._land([outcome.entry], [math.nan], token)

    def _learn(self, batch: BatchScored) -> None:
        with self._changed:
            self._cost.observe(batch.rows, batch.length, batch.ended - batch.started)
            self._budget.held(batch.rows * batch.length)
            self._queue.max_tokens = self._budget.now

    def _shrink(self, exceeded: MemoryExceeded) -> None:
        """Make later batches smaller than one that found no memory, so that not each of them fails first."""
        with self._changed:
            self._budget.exceeded(exceeded.tokens)
            self._queue.max_tokens = self._budget.now
        _log.warning("out of memory", error=str(exceeded.error), max_batch_tokens=self._budget.now)

    def _land(self, entries: Sequence[WaitingPair], logits: Sequence[float], token: CancelToken) -> None:
        """Deliver logits to the pairs of other requests that wait for them; without a logit, queue those pairs again,
        each to be scored alone."""
        if self._single_flight is None:
            return
        known: list[tuple[WaitingPair, float]] = []
        with self._changed:
            for entry, logit in zip(entries, logits, strict=True):
                if entry.key is None:
                    continue
                followers = self._single_flight.land(entry.key, token, logit)
                if math.isfinite(logit):
                    known.extend((follower, logit) for follower in followers)
                else:
                    self._queue_again(followers)
        self._deliver(parts_of_known(known, self.padded, self.clock()))

    def _queue_again(self, followers: Sequence[WaitingPair]) -> None:
        for follower in followers:
            if follower.owner in self._queue:
                self._queue.add(follower.owner, [(len(follower.pair), replace(follower, key=None))])
        self._changed.notify_all()

    def _deliver(self, parts: Iterable[tuple[Submission, Scored]]) -> None:
        for owner, part in parts:
            self._call(owner.deliver, part)

    def _call(self, callback: Callable[..., None], *args: object) -> None:
        assert self._loop is not None
        self._loop.call_soon_threadsafe(callback, *args)
