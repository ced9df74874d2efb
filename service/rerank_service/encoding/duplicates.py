"""Find documents of one request that are identical to the model, so that each is scored once.

Hybrid search often returns the same text twice.
"""

_MAX_KEYS = 20_000
"""Maximum number of distinct documents that are remembered. Then all are forgotten, so that the memory of a long stream
stays bounded."""


class Duplicates:
    """The duplicates among the documents of one request, by the keys of the documents."""

    def __init__(self) -> None:
        self._first: dict[bytes, int] = {}
        """Index of the first document with each key."""
        self._waiting: dict[int, list[int]] = {}
        """Indexes of duplicates that wait for the score of their original."""

    def original(self, key: bytes, index: int) -> int:
        """Return the index of the first document with this key: `index` itself, if the key is new."""
        if len(self._first) >= _MAX_KEYS:
            self._first.clear()
        return self._first.setdefault(key, index)

    def wait(self, original: int, duplicate: int) -> None:
        """Record that a duplicate waits for the score of its original."""
        self._waiting.setdefault(original, []).append(duplicate)

    def pop_waiting(self, original: int) -> list[int]:
        """Remove and return the duplicates that wait for an original."""
        return self._waiting.pop(original, [])
