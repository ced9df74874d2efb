"""The part of each document that is read, and the number and size of its windows. Pure.

Admission and the tokenizer both take the number of windows from `ReadingPlan.window_count`.
"""

import math
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from rerank_service.encoding.pair_limits import PairLimits, min_room
from rerank_service.ranking.highlights import MAX_SENTENCES
from rerank_service.ranking.limits import RequestLimits
from rerank_service.ranking.request import CutSide, RerankRequest, TooLong

T = TypeVar("T")

_DEFAULT_OVERLAP_DIVISOR = 8
"""Without `overlap_tokens`, neighbouring windows share at most an eighth of a window."""
_PASSAGE_TOKENS = 256
"""Default tokens of a window for models that were trained on passages."""
_PASSAGE_MODEL_TOKENS = 512
"""Maximum token limit of a model that was trained on passages."""
_FILL = 0.95
"""Maximum average share of a window that is filled. The rest lets windows end with a sentence."""
_SHARED = 7 / 8
"""Expected share of the overlap that neighbouring windows use. The rest lets the overlap begin with a sentence."""
_SENTENCE_TOKENS = 25
"""Average tokens of a sentence."""
_SPARE_DIVISOR = 64
"""A 64th of a window is kept free: a window that begins or ends within a word may have more tokens on its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadingPlan:
    """The part of each document that is scored, and the number and size of its windows."""

    pair: PairLimits
    """The limits on the tokens of a pair."""
    max_tokens: int
    """Maximum tokens of a document; the rest is cut."""
    window_tokens: int | None = None
    """Maximum tokens of a window. None: as many as the query leaves."""
    whole_tokens: int | None = None
    """Maximum tokens of a document that is scored in one pass and not in windows. None: as many as the query leaves."""
    windows: bool = True
    """True if a long document is scored in windows, False if it is cut."""
    max_windows: int | None = None
    """Maximum number of windows of a document. None: no limit."""
    overlap: int | None = None
    """Maximum tokens that neighbouring windows share; at most half a window. None: an eighth of a window."""
    cut_side: CutSide = CutSide.RIGHT

    def longest_whole(self, room: int) -> int:
        """Return the maximum tokens of a document that is scored in one pass, if the query leaves it `room` tokens."""
        return room if self.whole_tokens is None else min(room, self.whole_tokens)

    def window_size(self, room: int) -> int:
        """Return the maximum tokens of a window, if the query leaves `room` tokens for the document."""
        maximum = room - room // _SPARE_DIVISOR
        return maximum if self.window_tokens is None else min(maximum, self.window_tokens)

    def overlap_for(self, window_size: int) -> int:
        """Return the maximum tokens that windows of this size share."""
        return window_size // _DEFAULT_OVERLAP_DIVISOR if self.overlap is None else min(self.overlap, window_size // 2)

    def readable_tokens(self, room: int) -> int:
        """Return the maximum tokens that are read of a document in windows, if the query leaves it `room` tokens."""
        if self.max_windows is None:
            return self.max_tokens
        size = self.window_size(room)
        return min(self.max_tokens, int(size + (self.max_windows - 1) * self._stride(size)))

    def window_count(self, tokens: float, room: int) -> int:
        """Return the number of windows for this number of tokens, which is larger than `longest_whole(room)`."""
        size = self.window_size(room)
        count = math.ceil((tokens - self.overlap_for(size)) / self._stride(size))
        return count if self.max_windows is None else min(count, self.max_windows)

    def _stride(self, size: int) -> float:
        """Return the tokens by which each window advances, on average; at least 1."""
        return max(1.0, _FILL * size - self.overlap_for(size))

    def short_tokens(self, fixed: float) -> int:
        """Return the maximum tokens of a document that is read as a whole, in one pair.

        `fixed` is the number of tokens of query and template.
        """
        return min(self.max_tokens, self.longest_whole(max(1, int(self.pair.tokens - fixed))))

    def pair_tokens(self, document: float, fixed: float) -> float:
        """Return the estimated tokens of all pairs of a document.

        `document` is the number of tokens in the document, `fixed` the number of tokens of query and template, which
        each pair repeats.
        """
        room = max(1, int(self.pair.tokens - fixed))
        read = min(document, self.max_tokens)
        if not self.windows or read <= self.longest_whole(room):
            return fixed + min(read, room)
        read = min(read, self.readable_tokens(room))
        count = self.window_count(read, room)
        return count * fixed + read + (count - 1) * _SHARED * self.overlap_for(self.window_size(room))

    def sentence_tokens(self, document: float, fixed: float) -> float:
        """Return the estimated tokens of the pairs of a document's sentences. The parameters are those of
        `pair_tokens`."""
        room = max(1, int(self.pair.tokens - fixed))
        read = min(document, self.readable_tokens(room) if self.windows else min(room, self.max_tokens))
        count = min(MAX_SENTENCES, max(1.0, read / _SENTENCE_TOKENS))
        return count * fixed + min(read, count * _SENTENCE_TOKENS)

    def kept_tokens(self, offsets: NDArray[np.int64], room: int) -> NDArray[np.int64]:
        """Return the offsets of the tokens that are read; both arrays have shape (tokens, 2)."""
        most = self.readable_tokens(room)
        return offsets[:most] if self.cut_side is CutSide.RIGHT else offsets[-most:]

    def kept_windows(self, windows: list[T]) -> list[T]:
        """Return the windows that are scored: at most `max_windows`, those farthest from the side that is cut."""
        if self.max_windows is None:
            return windows
        return windows[: self.max_windows] if self.cut_side is CutSide.RIGHT else windows[-self.max_windows :]


def reading_plan(request: RerankRequest, limits: RequestLimits, *, max_tokens: int, template: int) -> ReadingPlan:
    """Return how the documents of a request are read.

    `max_tokens` is the token limit of the model, `template` the number of tokens in its template.
    """
    tokens = max_tokens if request.max_pair_tokens is None else min(max_tokens, request.max_pair_tokens)
    windows = request.too_long in (TooLong.WINDOWS, TooLong.WHOLE)
    default_window = default_window_tokens(tokens)
    return ReadingPlan(
        pair=_pair_limits(request, tokens, template),
        max_tokens=request.max_tokens_per_doc or (limits.document_tokens if windows else tokens),
        window_tokens=limits.window_tokens or default_window,
        whole_tokens=limits.window_tokens if windows and default_window is None else None,
        windows=windows,
        max_windows=request.max_chunks_per_doc,
        overlap=request.overlap_tokens,
        cut_side=request.cut_side,
    )


def _pair_limits(request: RerankRequest, tokens: int, template: int) -> PairLimits:
    """Return the limits on the pairs of a request.

    A query that must not be cut may leave less room where documents are cut or rejected: none is scored in small
    windows.
    """
    uncut = request.too_long in (TooLong.CUT, TooLong.REFUSE) and not request.cuts_query
    return PairLimits(
        tokens=tokens,
        min_room=1 if uncut else min_room(tokens, template),
        query_tokens=request.max_query_tokens,
        cut_query=request.cuts_query,
        cut_side=request.cut_side,
    )


def default_window_tokens(max_tokens: int) -> int | None:
    """Return the default maximum tokens of a window, for a model with this token limit. None: as many as fit.

    Models with a low token limit were trained on passages. They recognize a passage less well the more text surrounds
    it: the starter model rarely in a window of 500 tokens, and reliably in one of 256 (docs/documents.md).
    """
    return _PASSAGE_TOKENS if max_tokens <= _PASSAGE_MODEL_TOKENS else None
