"""The queue of waiting pairs and the lanes that run them.

A lane is a thread that takes the next batch the moment it is free: the pairs of all requests in flight, those
of like length together. No timer: under load batches grow because pairs wait, without load a pair runs at once.

Rule 1: what runs next is decided in fairness.py; here is only who waits and who is told.
Rule 2: `_queue` and `_closed` are touched under the lock, a Submission only on the event loop.
"""

import asyncio
import itertools
import math
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import structlog
from numpy.typing import NDArray

from rerank_service.errors import InferenceFailed, NotReady, OutOfMemory
from rerank_service.lifecycle.background import aside
from rerank_service.scheduling.batch_cancellation import Stop
from rerank_service.scheduling.batching import Batch, BatchLimits, EncodedPair, collate
from rerank_service.scheduling.cost_model import CostModel
from rerank_service.scheduling.fair_queue import FairQueue
from rerank_service.scheduling.memory_budget import TokenBudget
from rerank_service.scheduling.score_cache import ScoreCache
from rerank_service.scheduling.single_flight import Sharing

_log = structlog.get_logger()

Score = Callable[[Batch, Stop], NDArray[np.float32]]
"""A batch of n rows in, n float32 logits out; blocks, and is called from several threads at once. It may say how it
can be stopped, and then raises when it is."""

WrapScore = Callable[[Score], Score]
"""Put another score function around a model's own, for example one that records its batches."""


@dataclass(frozen=True, slots=True)
class Scored:
    """Logits of pairs that ran in one batch, or were known without. `positions` are those that the pairs were added
    with, `windows` theirs."""

    positions: Sequence[int]
    windows: Sequence[int]
    logits: Sequence[float]
    pairs: Sequence[EncodedPair]
    """Those that ran for this request: all, or none where the logits were known without."""
    padded_tokens: int
    """Computed for these pairs, padding included."""
    own_tokens: int
    """What the queue had them down for: the same, had each run alone."""
    started: float
    """Seconds on the scheduler's clock."""
    ended: float
    shared: int = 0
    """Pairs among them that ran for another request."""


@dataclass(frozen=True, slots=True, eq=False)
class _Waiting:
    owner: "Submission"
    position: int
    pair: EncodedPair
    key: bytes | None
    """By which the pair is known to be another's too; None where it runs by itself."""


class Submission:
    """The pairs of one request: added as they are known, scored as lanes get to them.

    Iterating gives `Scored` parts until `finish` was called and all pairs are scored, or until it is cut.
    """

    def __init__(self, scheduler: "Scheduler", room: int) -> None:
        self._scheduler = scheduler
        self._room = room
        self._added = 0
        self._settled = 0
        self._scored: list[Scored] = []
        self._finished = False
        self._short = False
        self._error: BaseException | None = None
        self._news = asyncio.Event()
        self._space = asyncio.Event()
        self.first_added: float | None = None
        """When the first pair entered the queue, in seconds on the scheduler's clock."""

    async def add(self, pairs: Sequence[tuple[int, EncodedPair]], keys: Sequence[bytes] = ()) -> None:
        """Queue pairs, each with its position; those with keys may be scored together with others' of the same key.

        Waits while `room` pairs of this submission are on their way: not scored, or scored and not asked for yet.
        """
        while self._added - self._settled >= self._room and self._error is None:
            self._space.clear()
            await self._space.wait()
        self._added += len(pairs)
        if pairs and self.first_added is None:
            self.first_added = self._scheduler.clock()
        named = zip(pairs, keys or itertools.repeat(None), strict=False)
        self._scheduler.enqueue(self, [_Waiting(self, position, pair, key) for (position, pair), key in named])

    def repeat(
        self, positions: Sequence[int], logits: Sequence[float], *, windows: Sequence[int] = (), shared: int = 0
    ) -> None:
        """Hand on logits that are known already, as those of a batch would be; without `windows` of first ones."""
        now = self._scheduler.clock()
        self._added += len(positions)
        self.deliver(Scored(positions, windows or [0] * len(positions), logits, (), 0, 0, now, now, shared))

    def finish(self, error: BaseException | None = None) -> None:
        """No more pairs will come; with an error, whoever iterates gets it."""
        self._finished = True
        self._error = self._error or error
        self._news.set()
        self._space.set()

    def cut(self) -> None:
        """Whoever iterates gets what has been scored, and then the end, whatever is still to come."""
        self._short = True
        self._news.set()

    @property
    def whole(self) -> bool:
        """Whether all pairs there are were scored and asked for."""
        return self._finished and self._settled == self._added

    def deliver(self, part: Scored) -> None:
        """Called by the scheduler when some of the pairs have run."""
        self._scored.append(part)
        self._news.set()

    def __aiter__(self) -> "Submission":
        return self

    async def __anext__(self) -> Scored:
        while not self._scored:
            if self._error is not None:
                raise self._error
            if self.whole or self._short:
                raise StopAsyncIteration
            self._news.clear()
            await self._news.wait()
        part = self._scored.pop(0)
        self._settled += len(part.positions)
        self._space.set()
        return part


class Scheduler:
    """Takes in pairs, runs them in batches on lanes, hands the logits back."""

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
        """`cost` is taught each batch that runs. With `scores` requests share what they have in common."""
        self._score = score
        self._limits = limits
        self._pad_id = pad_id
        self._lanes = lanes
        self._cost = cost or CostModel()
        self.clock = clock
        self._queue: FairQueue[Submission, _Waiting] = FairQueue(limits, lanes=lanes)
        self._budget = TokenBudget(limits.max_tokens)
        self._changed = threading.Condition()
        self._closed = False
        self._retired = False
        self._users = 0
        self._live: set[Submission] = set()
        self._running: dict[Stop, set[Submission]] = {}
        """Who still wants each batch that runs, or waits for one of its pairs."""
        self._sharing: Sharing[Stop, _Waiting] | None = None if scores is None else Sharing(scores)
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def waiting(self) -> int:
        """Pairs in the queue."""
        return self._queue.pairs

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Until the block ends the lanes run, retired or not."""
        self._users += 1
        try:
            yield
        finally:
            self._users -= 1
            self._close_if_done()

    def retire(self) -> None:
        """Another scheduler gets the requests from now on: close when those that are here are done."""
        self._retired = True
        self._close_if_done()

    def _close_if_done(self) -> None:
        if self._retired and not self._users:
            self.close()

    @contextmanager
    def submission(self, *, room: int, priority: int = 0, weight: float = 1.0) -> Iterator[Submission]:
        """A request's place in the queue; on leaving, whatever of it still waits is withdrawn, and a
        batch that runs for nobody else is stopped."""
        submission = Submission(self, room)
        self._live.add(submission)
        with self._changed:
            self._queue.enter(submission, priority=priority, weight=weight)
        try:
            yield submission
        finally:
            self._live.discard(submission)
            with self._changed:
                self._queue.leave(submission)
                unwanted = [stop for stop, owners in self._running.items() if owners == {submission}]
                for owners in self._running.values():
                    owners.discard(submission)
            for stop in unwanted:
                stop.ask()

    def enqueue(self, submission: Submission, entries: Sequence[_Waiting]) -> None:
        """Let entries of a submission wait for a lane."""
        with self._changed:
            if self._closed:
                raise NotReady("the server is stopping")
            self._queue.add(submission, [(len(entry.pair), entry) for entry in entries])
            self._changed.notify_all()

    def known(self, keys: Sequence[bytes]) -> list[float | None]:
        """The logits of pairs that have been scored already, where they are still known."""
        if self._sharing is None:
            return [None] * len(keys)
        return [self._sharing.known(key) for key in keys]

    def padded(self, length: int) -> int:
        """Tokens that a pair of that many takes at least."""
        return self._limits.padded(length)

    def tokens_per_second(self, length: float) -> float:
        """What all lanes together are expected to compute, of pairs of that many tokens."""
        row = self._limits.padded(max(1, round(length)))
        with self._changed:
            rows = max(1, min(self._limits.max_pairs, self._queue.max_tokens // row))
            return self._lanes * rows * row / self._cost.seconds(rows, row)

    async def run(self) -> None:
        """Run the lanes until `close` or cancellation.

        Raises whatever kills a lane; every live submission then fails, and no request waits for ever.
        """
        self._loop = asyncio.get_running_loop()
        pool = ThreadPoolExecutor(self._lanes, thread_name_prefix="lane")
        lanes = [self._loop.run_in_executor(pool, self._lane) for _ in range(self._lanes)]
        try:
            await asyncio.gather(*lanes)
        finally:
            self.close()
            self._stop_live()
            # aside, so that who is told has a turn: answers what it can, and leaves, which stops the batches that run
            await aside(pool.shutdown)
            await asyncio.gather(*lanes, return_exceptions=True)
            self._stop_live()

    def _stop_live(self) -> None:
        for submission in self._live:
            submission.finish(NotReady("the server is stopping"))

    def close(self) -> None:
        """Let the lanes end after the batches they run; pairs still waiting are not run."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _lane(self) -> None:
        while entries := self._next(stop := Stop()):
            self._run(entries, stop)
            with self._changed:
                del self._running[stop]

    def _next(self, stop: Stop) -> list[_Waiting]:
        """The entries of the next batch, or none when the scheduler is closed."""
        while True:
            known: list[tuple[_Waiting, float]] = []
            with self._changed:
                while not self._queue.pairs and not self._closed:
                    self._changed.wait()
                if self._closed:
                    return []
                self._running[stop] = set()
                spared = partial(self._spared, stop, known) if self._sharing is not None else None
                entries = self._queue.take(spared)
                self._running[stop] |= {entry.owner for entry in entries}
            if known:
                self._tell_known(known)
            if entries:
                return entries

    def _spared(self, stop: Stop, known: list[tuple[_Waiting, float]], entry: _Waiting) -> bool:
        """Whether a pair need not run, since its score is known or another runs it; else it runs in this batch."""
        if entry.key is None:
            return False
        assert self._sharing is not None
        if (logit := self._sharing.known(entry.key)) is not None:
            known.append((entry, logit))
            return True
        runs_in = self._sharing.runs_in(entry.key)
        # this batch has no owners yet; any other without is about to be stopped
        if runs_in is not None and (runs_in is stop or self._running[runs_in]):
            self._running[runs_in].add(entry.owner)
            self._sharing.follow(entry.key, entry)
            return True
        self._sharing.lead(entry.key, stop)
        return False

    def _run(self, entries: list[_Waiting], stop: Stop) -> None:
        """Score one batch. If the model fails on it, its halves are tried, so that one bad pair fails alone."""
        pairs = [entry.pair for entry in entries]
        started = self.clock()
        try:
            batch = collate(pairs, pad_id=self._pad_id, limits=self._limits)
            logits = self._score(batch, stop).tolist()
        except Exception as error:  # noqa: BLE001 - whatever the runtime raises belongs to the pair's owner
            if stop.asked:
                self._land(entries, [math.nan] * len(entries), stop)
            else:
                self._fail(entries, stop, error)
            return
        ended = self.clock()
        with self._changed:
            self._cost.observe(batch.rows, batch.length, ended - started)
            self._budget.held(batch.rows * batch.length)
            self._queue.max_tokens = self._budget.now
        for owner, mine in _by_owner(zip(entries, logits, strict=True)):
            part = Scored(
                [entry.position for entry, _ in mine],
                [entry.pair.window for entry, _ in mine],
                [logit for _, logit in mine],
                [entry.pair for entry, _ in mine],
                batch.length * len(mine),
                self._padded_alone(mine),
                started,
                ended,
            )
            self._tell(owner.deliver, part)
        self._land(entries, logits, stop)

    def _fail(self, entries: list[_Waiting], stop: Stop, error: Exception) -> None:
        if len(entries) > 1:
            if isinstance(error, OutOfMemory):
                self._take_less(entries, error)
            middle = len(entries) // 2
            self._run(entries[:middle], stop)
            self._run(entries[middle:], stop)
            return
        failure = _failure(entries[0], error)
        failure.__cause__ = error
        self._tell(entries[0].owner.finish, failure)
        self._land(entries, [math.nan], stop)

    def _land(self, entries: Sequence[_Waiting], logits: Sequence[float], stop: Stop) -> None:
        """Hand scores to those who waited for them; where there is none they wait for a lane again, and alone."""
        if self._sharing is None:
            return
        known: list[tuple[_Waiting, float]] = []
        with self._changed:
            for entry, logit in zip(entries, logits, strict=True):
                if entry.key is None:
                    continue
                followers = self._sharing.land(entry.key, stop, logit)
                if math.isfinite(logit):
                    known.extend((follower, logit) for follower in followers)
                else:
                    self._again(followers)
        self._tell_known(known)

    def _again(self, followers: Sequence[_Waiting]) -> None:
        for follower in followers:
            if follower.owner in self._queue:
                self._queue.add(follower.owner, [(len(follower.pair), replace(follower, key=None))])
        self._changed.notify_all()

    def _tell_known(self, known: Iterable[tuple[_Waiting, float]]) -> None:
        """Hand on logits for which nothing had to run."""
        now = self.clock()
        for owner, mine in _by_owner(known):
            positions, windows = [entry.position for entry, _ in mine], [entry.pair.window for entry, _ in mine]
            logits = [logit for _, logit in mine]
            part = Scored(positions, windows, logits, (), 0, self._padded_alone(mine), now, now, shared=len(mine))
            self._tell(owner.deliver, part)

    def _padded_alone(self, scored: Sequence[tuple[_Waiting, float]]) -> int:
        return sum(self.padded(len(entry.pair)) for entry, _ in scored)

    def _take_less(self, entries: list[_Waiting], error: OutOfMemory) -> None:
        """Let batches be smaller than one that found no memory, so that not each fails first."""
        with self._changed:
            self._budget.exceeded(len(entries) * max(self.padded(len(entry.pair)) for entry in entries))
            self._queue.max_tokens = self._budget.now
        _log.warning("out of memory", error=str(error), max_batch_tokens=self._budget.now)

    def _tell(self, callback: Callable[..., None], *args: object) -> None:
        assert self._loop is not None
        self._loop.call_soon_threadsafe(callback, *args)


def _by_owner(
    scored: Iterable[tuple[_Waiting, float]],
) -> Iterator[tuple[Submission, list[tuple[_Waiting, float]]]]:
    """Entries and their logits, for each owner."""
    groups: dict[Submission, list[tuple[_Waiting, float]]] = {}
    for one in scored:
        groups.setdefault(one[0].owner, []).append(one)
    yield from groups.items()


def _failure(entry: _Waiting, error: Exception) -> InferenceFailed:
    if isinstance(error, OutOfMemory):
        return OutOfMemory(f"there is no memory for documents[{entry.position}], of {len(entry.pair)} tokens")
    return InferenceFailed(f"the model failed on documents[{entry.position}]")
