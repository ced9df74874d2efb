"""Pairs that several requests want at once, or one after the other: scored once, by whoever's turn comes first.

Each request's pairs keep their own places in the queue, and what is shared is decided when a pair's turn comes: its
score is known by then, or runs just then in a batch, or else the pair runs. So nobody waits for another's turn, however
late that is, but for a batch that runs already at most; and who leaves takes nothing along that another waits for.

Rule 1: called under the scheduler's lock.
Rule 2: only what is finite is shared; of a pair that failed each request makes its own experience.
"""

import math
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from rerank_service.scheduling.score_cache import ScoreCache

Batch = TypeVar("Batch", bound=Hashable)
Waiter = TypeVar("Waiter")


@dataclass(frozen=True, slots=True)
class _Flight(Generic[Batch, Waiter]):
    """A pair that runs, in which batch, and who else wants its score."""

    batch: Batch
    followers: list[Waiter] = field(default_factory=list)


class SingleFlight(Generic[Batch, Waiter]):
    """Which pairs run, and the scores of those that ran."""

    def __init__(self, scores: ScoreCache) -> None:
        self._scores = scores
        self._flights: dict[bytes, _Flight[Batch, Waiter]] = {}

    def known(self, key: bytes) -> float | None:
        """The logit of a pair that ran. May be called from any thread."""
        return self._scores.get(key)

    def runs_in(self, key: bytes) -> Batch | None:
        """The batch in which a pair runs."""
        flight = self._flights.get(key)
        return None if flight is None else flight.batch

    def follow(self, key: bytes, waiter: Waiter) -> None:
        """Wait for a pair that runs."""
        self._flights[key].followers.append(waiter)

    def lead(self, key: bytes, batch: Batch) -> None:
        """A pair runs in a batch from now on; if one ran before that nobody wants any more, it is not followed."""
        self._flights[key] = _Flight(batch)

    def land(self, key: bytes, batch: Batch, logit: float = math.nan) -> list[Waiter]:
        """A pair has run in a batch, or failed there: those who have waited for it."""
        if math.isfinite(logit):
            self._scores.put(key, logit)
        flight = self._flights.get(key)
        if flight is None or flight.batch is not batch:
            return []
        del self._flights[key]
        return flight.followers
