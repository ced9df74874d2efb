"""Split a long document into windows, at the ends of sentences, else of words, else of tokens.

Rule 1: pure. Only the positions of tokens in the text are used, so any tokenizer and any script will do.
Rule 2: all positions are Unicode code points.
"""

import re

import numpy as np
from numpy.typing import NDArray

from rerank_service.encoding.characters import character_end, character_start
from rerank_service.ranking.document import Span

_SENTENCE_END = re.compile(
    r"(?<=[.!?…])\s+|(?<=[.!?…][\"')\]»”’])\s+|[。！？｡．؟۔।॥។။]+[」』”’）]*|\n\s*"  # noqa: RUF001 - of many scripts
)
_WORD_END = re.compile(r"\s+|[、，；：・،]+")  # noqa: RUF001 - marks that end a word in scripts without blanks
_REACH_DIVISOR = 4
"""A window may be longer or shorter than its even share by a quarter of it, to end with a sentence."""


def window_spans(text: str, offsets: NDArray[np.int64], *, size: int, overlap: int, count: int) -> list[Span]:
    """Return the windows of a text, in order: `count` windows of about the same number of tokens.

    Each has at most `size` tokens, and shares at most `overlap` tokens with the one before. There are more than `count`
    windows if that many cannot hold the text, and fewer if the text has too few characters.

    `offsets`, of shape (tokens, 2), holds the start and the end of each token in the text.
    """
    starts, ends = np.maximum.accumulate(offsets).T
    spans: list[Span] = []
    first, start = 0, int(starts[0])
    while True:
        rest = len(starts) - first
        left = max(count - len(spans), _fewest_windows(rest, size, overlap))
        share = -(-(rest + (left - 1) * overlap) // left)
        if share >= rest:
            return [*spans, (start, int(ends[-1]))]
        earliest, latest = _reach(rest, share, left, size, overlap)
        at = [int(ends[first + tokens - 1]) for tokens in (1, earliest, share, latest)]
        end = _text_end(text, at[1], at[2], at[3]) or character_start(text, at[0], at[2])
        spans.append((start, end))
        next_token = _first_token_after(ends, end)
        if next_token == len(starts):  # the last tokens are parts of one character
            return spans
        begin = _window_start(text, int(starts[max(0, next_token - overlap)]), end) if overlap else end
        if begin <= start:
            begin = end
        first = max(first + 1, _first_token_after(ends, begin))
        start = max(begin, int(starts[first]))


def _fewest_windows(tokens: int, size: int, overlap: int) -> int:
    """Return the smallest number of windows that hold this number of tokens."""
    return max(1, -(-(tokens - overlap) // (size - overlap)))


def _reach(rest: int, share: int, left: int, size: int, overlap: int) -> tuple[int, int]:
    """Return the minimum and the maximum tokens of a window whose even share is `share`.

    The other `left - 1` windows must be able to hold what remains of the `rest` tokens.
    """
    reach = share // _REACH_DIVISOR
    needed = rest - (left - 1) * (size - overlap)
    return max(1, share - reach, needed), max(share, min(size, share + reach, rest - left + 1))


def _first_token_after(ends: NDArray[np.int64], position: int) -> int:
    """Return the first token that ends after a position. It may start before it, as a blank that belongs to a word."""
    return int(np.searchsorted(ends, position, side="right"))


def _text_end(text: str, earliest: int, share: int, latest: int) -> int | None:
    """Return the end of the sentence, else of the word, that ends closest to `share` between the earliest and the
    latest position. None: no sentence or word ends there."""
    for pattern in (_SENTENCE_END, _WORD_END):
        matches = pattern.finditer(text, max(0, earliest - 1), latest + 1)
        if fitting := [match for match in matches if match.end() >= earliest]:
            return min(min(fitting, key=lambda match: abs(match.start() - share)).end(), latest)
    return None


def _window_start(text: str, earliest: int, end: int) -> int:
    """Return the start of the next window: the first sentence, else the first word, else the first character, that
    starts between the two positions."""
    for pattern in (_SENTENCE_END, _WORD_END):
        for match in pattern.finditer(text, max(0, earliest - 1), end):
            if match.end() < end:
                return match.end()
    return character_end(text, earliest, end)
