"""Documents of one request that are the same to the model: hybrid search finds a chunk twice, and it is scored once."""

_REMEMBERED = 20_000
"""Distinct documents looked back at; a long stream forgets, so that its memory stays bounded."""


class Duplicates:
    """Which document of a request is which other's copy, by the keys of their pairs."""

    def __init__(self) -> None:
        self._seen: dict[bytes, int] = {}
        self._copies: dict[int, list[int]] = {}

    def original(self, key: bytes, index: int) -> int:
        """The index of the first document with this key: this one's own, if it is new."""
        if len(self._seen) >= _REMEMBERED:
            self._seen.clear()
        return self._seen.setdefault(key, index)

    def wait(self, original: int, index: int) -> None:
        """The document at `index` gets its score when the original has one."""
        self._copies.setdefault(original, []).append(index)

    def take(self, original: int) -> list[int]:
        """The indexes that waited for an original, and wait no longer."""
        return self._copies.pop(original, [])
