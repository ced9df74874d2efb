"""Where a long document is cut into windows: at the ends of sentences, else of words, else of tokens.

Rule 1: pure. Tokens are known by where they stand in the text, so any tokenizer and any script will do.
Rule 2: all positions are Unicode code points.
"""

import re
import unicodedata
from collections import deque
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from rerank_service.ranking.document import Span
from rerank_service.ranking.limits import RequestLimits
from rerank_service.ranking.request import CutSide, RerankRequest, TooLong

T = TypeVar("T")

_SENTENCE_END = re.compile(
    r"(?<=[.!?…])\s+|(?<=[.!?…][\"')\]»”’])\s+|[。！？｡．؟۔।॥።။]+[」』”’）]*|\n\s*"  # noqa: RUF001 - of many scripts
)
_WORD_END = re.compile(r"\s+|[、，；：・،]+")  # noqa: RUF001 - likewise; what comes between blanks ends a word too
_OVERLAP = 8
"""A window has this part of it in common with the one before, at most, where a request says nothing."""
_PASSAGE = 256
_FEW_POSITIONS = 512
_FILLED = 0.95
"""Of a window, about, when it ends where a sentence does."""
_SLACK = 64
"""This part of a window is kept free: a window that begins or ends within a word may have a token more by itself."""


@dataclass(frozen=True, slots=True)
class Reading:
    """How the documents of a request are read."""

    max_tokens: int
    """Of a document; the rest is cut."""
    window: int | None = None
    """Tokens of a window, at most. None: what the query leaves."""
    windows: bool = True
    """Whether one that the model's window does not hold is scored in several."""
    max_windows: int | None = None
    """Of a document."""
    overlap: int | None = None
    """Tokens that neighbouring windows share, at most: half of a window."""
    side: CutSide = CutSide.RIGHT

    def size(self, room: int) -> int:
        """Tokens of a window, where the query leaves so many."""
        most = room - room // _SLACK
        return most if self.window is None else min(most, self.window)

    def shared(self, size: int) -> int:
        """Tokens that windows of that size share, at most."""
        return size // _OVERLAP if self.overlap is None else min(self.overlap, size // 2)

    def kept(self, offsets: NDArray[np.int64]) -> NDArray[np.int64]:
        """The tokens that are read."""
        return offsets[: self.max_tokens] if self.side is CutSide.RIGHT else offsets[-self.max_tokens :]

    def most(self, windows: list[T]) -> list[T]:
        """Those that are scored."""
        if self.max_windows is None:
            return windows
        return windows[: self.max_windows] if self.side is CutSide.RIGHT else windows[-self.max_windows :]

    def tokens(self, document: float, around: float, room: float) -> float:
        """About how many tokens the windows of a document will have, with what is around each."""
        size = self.size(int(room))
        shared = self.shared(size)
        windows = max(2.0, (document - shared) / max(1.0, _FILLED * size - shared))
        if self.max_windows is not None:
            windows = min(windows, self.max_windows)
        return windows * around + min(document + (windows - 1) * shared, windows * size)


def reading_for(request: RerankRequest, limits: RequestLimits, max_tokens: int) -> Reading:
    """Return how the documents of a request are read, for a model that takes pairs of `max_tokens` tokens."""
    windows = request.too_long in {TooLong.WINDOWS, TooLong.WHOLE}
    return Reading(
        max_tokens=request.max_tokens_per_doc or (limits.document_tokens if windows else max_tokens),
        window=limits.window_tokens or window_tokens(max_tokens),
        windows=windows,
        max_windows=request.max_chunks_per_doc,
        overlap=request.overlap_tokens,
        side=request.cut_side,
    )


def window_tokens(max_tokens: int) -> int | None:
    """Of a model that takes so many: what a window should have, at most.

    Models of few positions were trained on passages, and find one less well the more stands around it: the bundled one
    nearly not at all in a window of 500 tokens, and well in one of 256 (docs/documents.md).
    """
    return _PASSAGE if max_tokens <= _FEW_POSITIONS else None


def spans(text: str, offsets: NDArray[np.int64], *, size: int, overlap: int) -> list[Span]:
    """Windows of at most `size` tokens, in order, that share at most `overlap` tokens with the one before.

    `offsets`, of shape (tokens, 2), says where each token begins and ends in the text.
    """
    starts, ends = np.maximum.accumulate(offsets).T
    found: list[Span] = []
    first, start = 0, int(starts[0])
    while len(starts) - first > size:
        end = _end(text, int(ends[first + max(1, 3 * size // 4) - 1]), int(ends[first + size - 1]))
        found.append((start, end))
        behind = _after(ends, end)
        if behind == len(starts):  # the last tokens are parts of one character
            return found
        begin = _begin(text, int(starts[behind - overlap]), end) if overlap else end
        if begin <= start:
            begin = end
        first = max(first + 1, _after(ends, begin))
        start = max(begin, int(starts[first]))
    return [*found, (start, int(ends[-1]))]


def _after(ends: NDArray[np.int64], position: int) -> int:
    """The first token of which something stands behind the position; a blank may be part of the word behind it."""
    return int(np.searchsorted(ends, position, side="right"))


def _end(text: str, earliest: int, latest: int) -> int:
    """Where a window ends: behind the last sentence, else the last word, that ends where it may."""
    for pattern in (_SENTENCE_END, _WORD_END):
        if found := deque(pattern.finditer(text, earliest, latest + 1), maxlen=1):
            return min(found[0].end(), latest)
    return _between_characters(text, earliest, latest)


def _begin(text: str, earliest: int, end: int) -> int:
    """Where the next window begins: with the first sentence, else the first word, that the last one ends with."""
    for pattern in (_SENTENCE_END, _WORD_END):
        for match in pattern.finditer(text, max(0, earliest - 1), end):
            if match.end() < end:
                return match.end()
    return earliest


def _between_characters(text: str, earliest: int, latest: int) -> int:
    """Not before a mark that belongs to the character before it, as Thai's and Hindi's vowels do."""
    at = latest
    while earliest < at < len(text) and unicodedata.category(text[at]).startswith("M"):
        at -= 1
    return at
