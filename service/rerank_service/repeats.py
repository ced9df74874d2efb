"""Documents of one request that are the same to the model: hybrid search finds a chunk twice, and it is scored once."""

from hashlib import blake2b

from rerank_service.batching import EncodedPair

_REMEMBERED = 20_000
"""Distinct documents looked back at; a long stream forgets, so that its memory stays bounded."""


class Repeats:
    """Which document of a request is which other's copy, by their token ids."""

    def __init__(self) -> None:
        self._seen: dict[bytes, int] = {}
        self._copies: dict[int, list[int]] = {}

    def original(self, pair: EncodedPair, index: int) -> int:
        """The index of the first document with these tokens: this one's own, if it is new."""
        if len(self._seen) >= _REMEMBERED:
            self._seen.clear()
        # two documents of one request share the query, so the document's ids decide; 128 bits do not collide
        return self._seen.setdefault(blake2b(pair.document.tobytes(), digest_size=16).digest(), index)

    def wait(self, original: int, index: int) -> None:
        """The document at `index` gets its score when the original has one."""
        self._copies.setdefault(original, []).append(index)

    def take(self, original: int) -> list[int]:
        """The indexes that waited for an original, and wait no longer."""
        return self._copies.pop(original, [])
