"""Totals of the work that lanes have done, for metrics.

They belong to a served name, not to a scheduler: a hot swap hands them over, so that no counter goes back.
"""

import threading
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkTotals:
    """Totals since the start of the server."""

    batches: int
    pairs: int
    """Number of pairs that ran."""
    real_tokens: int
    """Tokens that ran, without padding."""
    padded_tokens: int
    """Tokens that ran, with padding."""
    cache_hits: int
    """Number of pairs whose logit came from the score cache, or from a run of another request."""
    busy_seconds: Mapping[int, float]
    """Seconds in which each lane ran batches, by number of the lane."""


class WorkCounter:
    """Counts the work of lanes. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._batches = 0
        self._pairs = 0
        self._real_tokens = 0
        self._padded_tokens = 0
        self._cache_hits = 0
        self._busy: dict[int, float] = {}

    def count_batch(self, rows: int, *, real_tokens: int, padded_tokens: int) -> None:
        """Count a batch that ran."""
        with self._lock:
            self._batches += 1
            self._pairs += rows
            self._real_tokens += real_tokens
            self._padded_tokens += padded_tokens

    def count_cache_hits(self, pairs: int) -> None:
        """Count pairs that did not run, because their logit was known."""
        if pairs:
            with self._lock:
                self._cache_hits += pairs

    def count_busy(self, lane: int, seconds: float) -> None:
        """Add the time in which a lane ran a batch."""
        with self._lock:
            self._busy[lane] = self._busy.get(lane, 0.0) + seconds

    def totals(self) -> WorkTotals:
        """Return the totals until now."""
        with self._lock:
            return WorkTotals(
                batches=self._batches,
                pairs=self._pairs,
                real_tokens=self._real_tokens,
                padded_tokens=self._padded_tokens,
                cache_hits=self._cache_hits,
                busy_seconds=dict(self._busy),
            )
