"""Share pairs between requests: connect single-flight with the fair queue and the running batches.

Rule: all methods except `cached_logit` are called under the scheduler's lock.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from rerank_service.scheduling.batch_cancellation import CancelToken
from rerank_service.scheduling.fair_queue import FairQueue
from rerank_service.scheduling.running_batches import RunningBatches
from rerank_service.scheduling.score_cache import ScoreCache
from rerank_service.scheduling.single_flight import SingleFlight
from rerank_service.scheduling.submission import ScoredPair, Submission, WaitingPair


@dataclass(frozen=True, slots=True)
class FinishedFlights:
    """The pairs that waited for equal pairs of other requests, which have ended."""

    scored: list[ScoredPair] = field(default_factory=list)
    """Pairs with the logit of the equal pair."""
    unscored: list[WaitingPair] = field(default_factory=list)
    """Pairs to queue again, because the equal pair has no finite logit. They have no key, so they are not shared
    again: each request retries its own pair."""


class SharedPairs:
    """Scores each pair once for all requests that need it."""

    def __init__(self, scores: ScoreCache, running: RunningBatches[Submission]) -> None:
        """`running` are the scheduler's batches: each stays needed while a request waits for one of its pairs."""
        self._flights: SingleFlight[CancelToken, WaitingPair] = SingleFlight(scores)
        self._running = running

    def cached_logit(self, key: bytes) -> float | None:
        """Return the logit of a pair that ran before; None if the cache has none. Thread-safe."""
        return self._flights.cached_logit(key)

    def take(
        self,
        queue: FairQueue[Submission, WaitingPair],
        token: CancelToken,
        max_rows: Callable[[int], int] | None = None,
    ) -> tuple[list[WaitingPair], list[ScoredPair]]:
        """Take the next batch from the queue, with `max_rows` as in `FairQueue.take`.

        Returns the pairs that must run, and the pairs whose logits are cached. A pair that runs already joins its
        running batch.
        """
        cached: list[ScoredPair] = []
        entries = queue.take(partial(self._skip_or_start, token, cached), max_rows)
        return entries, cached

    def _skip_or_start(self, token: CancelToken, cached: list[ScoredPair], entry: WaitingPair) -> bool:
        """Skip a pair whose logit is cached or that runs already, and return True. Else start its run.

        A pair with a cached logit is appended to `cached`.
        """
        if entry.key is None:
            return False
        if (logit := self._flights.cached_logit(entry.key)) is not None:
            cached.append((entry, logit))
            return True
        batch = self._flights.running_batch(entry.key)
        # the batch that is being filled has no requests yet; any other batch without requests is being cancelled
        if batch is not None and (batch is token or self._running.is_needed(batch)):
            self._running.need(batch, [entry.owner])
            self._flights.follow(entry.key, entry)
            return True
        self._flights.start(entry.key, token)
        return False

    def finish(self, entries: Sequence[WaitingPair], logits: Sequence[float], token: CancelToken) -> FinishedFlights:
        """End the runs of pairs in a batch, and return the equal pairs that waited for them.

        A logit is NaN if the pair failed or its batch was cancelled.
        """
        finished = FinishedFlights()
        for entry, logit in zip(entries, logits, strict=True):
            if entry.key is None:
                continue
            waiters = self._flights.finish(entry.key, token, logit)
            if math.isfinite(logit):
                finished.scored.extend((waiter, logit) for waiter in waiters)
            else:
                finished.unscored.extend(replace(waiter, key=None) for waiter in waiters)
        return finished
