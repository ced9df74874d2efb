"""Cache of logits by pair key."""

import threading

from cachetools import LRUCache

ENTRY_BYTES = 480
"""Maximum memory of an entry in bytes, reached just after the tables of the cache have grown. Measured; a test checks
it."""


class ScoreCache:
    """The most recently used logits, as many as fit the memory. Thread-safe."""

    def __init__(self, max_bytes: int) -> None:
        """`max_bytes` is the memory of the cache; there is room for at least one entry."""
        self._lock = threading.Lock()
        self._scores: LRUCache[bytes, float] = LRUCache(max(1, max_bytes // ENTRY_BYTES))

    def get(self, key: bytes) -> float | None:
        """Return the logit of a pair; None if the cache has none."""
        with self._lock:
            return self._scores.get(key)

    def put(self, key: bytes, logit: float) -> None:
        """Store a logit. A full cache drops the entry that was not used for the longest time."""
        with self._lock:
            self._scores[key] = logit
