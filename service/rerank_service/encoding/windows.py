"""Split a long document into windows, at the ends of sentences, else of words, else of tokens.

Rule 1: pure. Only the positions of tokens in the text are used, so any tokenizer and any script will do.
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
    r"(?<=[.!?…])\s+|(?<=[.!?…][\"')\]»”’])\s+|[。！？｡．؟۔।॥។။]+[」』”’）]*|\n\s*"  # noqa: RUF001 - of many scripts
)
_WORD_END = re.compile(r"\s+|[、，；：・،]+")  # noqa: RUF001 - marks that end a word in scripts without blanks
_DEFAULT_OVERLAP_DIVISOR = 8
"""Without `overlap_tokens`, neighbouring windows share at most an eighth of a window."""
_PASSAGE_TOKENS = 256
"""Default tokens of a window for models that were trained on passages."""
_PASSAGE_MODEL_TOKENS = 512
"""Maximum token limit of a model that was trained on passages."""
_AVERAGE_FILL = 0.95
"""Average share of a window that is filled, since windows end with a sentence."""
_SPARE_DIVISOR = 64
"""A 64th of a window is kept free: a window that begins or ends within a word may have more tokens on its own."""


@dataclass(frozen=True, slots=True)
class ReadingPlan:
    """The part of each document that is scored, and the size of its windows."""

    max_tokens: int
    """Maximum tokens of a document; the rest is cut."""
    window_tokens: int | None = None
    """Maximum tokens of a window. None: as many as the query leaves."""
    windows: bool = True
    """True if a long document is scored in windows, False if it is cut."""
    max_windows: int | None = None
    """Maximum number of windows of a document. None: no limit."""
    overlap: int | None = None
    """Maximum tokens that neighbouring windows share; at most half a window. None: an eighth of a window."""
    cut_side: CutSide = CutSide.RIGHT

    def window_size(self, room: int) -> int:
        """Return the maximum tokens of a window, if the query leaves `room` tokens for the document."""
        maximum = room - room // _SPARE_DIVISOR
        return maximum if self.window_tokens is None else min(maximum, self.window_tokens)

    def overlap_for(self, window_size: int) -> int:
        """Return the maximum tokens that windows of this size share."""
        return window_size // _DEFAULT_OVERLAP_DIVISOR if self.overlap is None else min(self.overlap, window_size // 2)

    def kept_tokens(self, offsets: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the offsets of the tokens that are read; both arrays have shape (tokens, 2)."""
        return offsets[: self.max_tokens] if self.cut_side is CutSide.RIGHT else offsets[-self.max_tokens :]

    def kept_windows(self, windows: list[T]) -> list[T]:
        """Return the windows that are scored: at most `max_windows`, those farthest from the side that is cut."""
        if self.max_windows is None:
            return windows
        return windows[: self.max_windows] if self.cut_side is CutSide.RIGHT else windows[-self.max_windows :]

    def estimated_tokens(self, document: float, fixed: float, room: float) -> float:
        """Return the estimated tokens of all pairs of a long document.

        `document` is the number of tokens in the document, `fixed` the tokens of query and template in each pair,
        `room` the tokens that they leave for the document.
        """
        size = self.window_size(int(room))
        overlap = self.overlap_for(size)
        windows = max(2.0, (document - overlap) / max(1.0, _AVERAGE_FILL * size - overlap))
        if self.max_windows is not None:
            windows = min(windows, self.max_windows)
        return windows * fixed + min(document + (windows - 1) * overlap, windows * size)


def reading_plan(request: RerankRequest, limits: RequestLimits, max_tokens: int) -> ReadingPlan:
    """Return how the documents of a request are read, for a model whose token limit is `max_tokens`."""
    windows = request.too_long in {TooLong.WINDOWS, TooLong.WHOLE}
    return ReadingPlan(
        max_tokens=request.max_tokens_per_doc or (limits.document_tokens if windows else max_tokens),
        window_tokens=limits.window_tokens or default_window_tokens(max_tokens),
        windows=windows,
        max_windows=request.max_chunks_per_doc,
        overlap=request.overlap_tokens,
        cut_side=request.cut_side,
    )


def default_window_tokens(max_tokens: int) -> int | None:
    """Return the default maximum tokens of a window, for a model with this token limit. None: as many as fit.

    Models with a low token limit were trained on passages. They recognize a passage less well the more text surrounds
    it: the starter model rarely in a window of 500 tokens, and reliably in one of 256 (docs/documents.md).
    """
    return _PASSAGE_TOKENS if max_tokens <= _PASSAGE_MODEL_TOKENS else None


def window_spans(text: str, offsets: NDArray[np.int64], *, size: int, overlap: int) -> list[Span]:
    """Return the windows of a text, in order. Each has at most `size` tokens, and shares at most `overlap` tokens with
    the one before.

    `offsets`, of shape (tokens, 2), holds the start and the end of each token in the text.
    """
    starts, ends = np.maximum.accumulate(offsets).T
    spans: list[Span] = []
    first, start = 0, int(starts[0])
    while len(starts) - first > size:
        end = _window_end(text, int(ends[first + max(1, 3 * size // 4) - 1]), int(ends[first + size - 1]))
        spans.append((start, end))
        next_token = _first_token_after(ends, end)
        if next_token == len(starts):  # the last tokens are parts of one character
            return spans
        begin = _window_start(text, int(starts[next_token - overlap]), end) if overlap else end
        if begin <= start:
            begin = end
        first = max(first + 1, _first_token_after(ends, begin))
        start = max(begin, int(starts[first]))
    return [*spans, (start, int(ends[-1]))]


def _first_token_after(ends: NDArray[np.int64], position: int) -> int:
    """Return the first token that ends after a position. It may start before it, as a blank that belongs to a word."""
    return int(np.searchsorted(ends, position, side="right"))


def _window_end(text: str, earliest: int, latest: int) -> int:
    """Return the end of a window: after the last sentence, else the last word, that ends between the two positions."""
    for pattern in (_SENTENCE_END, _WORD_END):
        if last := deque(pattern.finditer(text, earliest, latest + 1), maxlen=1):
            return min(last[0].end(), latest)
    return _character_start(text, earliest, latest)


def _window_start(text: str, earliest: int, end: int) -> int:
    """Return the start of the next window: the first sentence, else the first word, that starts between the two
    positions."""
    for pattern in (_SENTENCE_END, _WORD_END):
        for match in pattern.finditer(text, max(0, earliest - 1), end):
            if match.end() < end:
                return match.end()
    return earliest


def _character_start(text: str, earliest: int, latest: int) -> int:
    """Return the last position up to `latest` that is not before a combining mark, such as a vowel in Thai or Hindi."""
    at = latest
    while earliest < at < len(text) and unicodedata.category(text[at]).startswith("M"):
        at -= 1
    return at
