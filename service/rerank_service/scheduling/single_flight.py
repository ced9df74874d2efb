"""Single-flight: a pair that several requests need is scored once.

The pairs of each request keep their own places in the queue. When the turn of a pair comes, there are
three cases:

- Its logit is in the score cache: the pair does not run.
- The same pair runs right now in a batch: the pair waits for that batch.
- Otherwise the pair runs.

So no request waits for another request's turn; it waits at most for a batch that already runs. When a request is
cancelled, its batch goes on as long as another request waits for one of its pairs.

Rule 1: all methods except `cached_logit` are called under the scheduler's lock.
Rule 2: only finite logits are shared. Failed pairs are retried by each request separately.
"""

import math
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from rerank_service.scheduling.score_cache import ScoreCache

Token = TypeVar("Token", bound=Hashable)
Waiter = TypeVar("Waiter")


@dataclass(frozen=True, slots=True)
class _Flight(Generic[Token, Waiter]):
    """A pair that runs."""

    token: Token
    """Stands for the batch in which the pair runs."""
    waiters: list[Waiter] = field(default_factory=list)
    """Equal pairs of other requests, which get the logit of this run."""


class SingleFlight(Generic[Token, Waiter]):
    """The pairs that run, by their keys, and the logits of pairs that ran."""

    def __init__(self, scores: ScoreCache) -> None:
        self._scores = scores
        self._flights: dict[bytes, _Flight[Token, Waiter]] = {}

    def cached_logit(self, key: bytes) -> float | None:
        """Return the logit of a pair that ran before; None if the cache has none. Thread-safe."""
        return self._scores.get(key)

    def running_batch(self, key: bytes) -> Token | None:
        """Return the token of the batch in which a pair runs; None if it does not run."""
        flight = self._flights.get(key)
        return None if flight is None else flight.token

    def follow(self, key: bytes, waiter: Waiter) -> None:
        """Let a pair wait for the equal pair that runs."""
        self._flights[key].waiters.append(waiter)

    def start(self, key: bytes, token: Token) -> None:
        """Record that a pair runs in a batch. A cancelled run of the same pair is forgotten."""
        self._flights[key] = _Flight(token)

    def finish(self, key: bytes, token: Token, logit: float) -> list[Waiter]:
        """Record the end of a pair in a batch, and return the pairs that waited for it.

        `logit` is NaN if the pair failed or its batch was cancelled.
        """
        if math.isfinite(logit):
            self._scores.put(key, logit)
        flight = self._flights.get(key)
        if flight is None or flight.token is not token:
            return []
        del self._flights[key]
        return flight.waiters
