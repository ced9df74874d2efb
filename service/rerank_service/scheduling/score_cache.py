"""Scores that were computed before, by the keys of their pairs."""

import threading

from cachetools import LRUCache

ENTRY_BYTES = 480
"""What an entry takes at its worst, just when the tables behind it have grown: measured, and held by a test."""


class ScoreCache:
    """The scores asked for last, as many as the bytes hold. All methods may be called from any thread."""

    def __init__(self, max_bytes: int) -> None:
        self._lock = threading.Lock()
        self._scores: LRUCache[bytes, float] = LRUCache(max(1, max_bytes // ENTRY_BYTES))

    def __len__(self) -> int:
        return len(self._scores)

    def get(self, key: bytes) -> float | None:
        """The logit of a pair, if it is here."""
        with self._lock:
            return self._scores.get(key)

    def put(self, key: bytes, logit: float) -> None:
        """Keep a logit, and forget the one that was not asked for the longest if there is no room."""
        with self._lock:
            self._scores[key] = logit
