"""Divide the tokens of a pair between query, template and document. Pure.

Admission estimates with these limits, and the tokenizer keeps them. So both see the same number of windows.
"""

from dataclasses import dataclass

from rerank_service.ranking.request import CutSide

_ROOM_DIVISOR = 4
"""A document gets at least a quarter of the tokens of a pair. With less, it would shatter into many windows of a few
words, and each of them would repeat the query."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PairLimits:
    """The limits on the tokens of a pair in one request."""

    tokens: int
    """Maximum tokens of a pair, query, template and document together."""
    min_room: int = 1
    """Minimum tokens left for a document; at least 1."""
    query_tokens: int | None = None
    """Maximum tokens of the query, as the request sets it. None: as many as the other limits allow."""
    cut_query: bool = False
    """True if a longer query is cut, False if it is rejected."""
    cut_side: CutSide = CutSide.RIGHT
    """The side of the query that is cut."""

    def longest_query(self, template: float) -> float:
        """Return the maximum tokens of a query beside `template` tokens of template; below 1 if there is no room."""
        longest = self.tokens - template - self.min_room
        return longest if self.query_tokens is None else min(longest, self.query_tokens)


def min_room(tokens: int, template: int) -> int:
    """Return the minimum tokens left for a document, for a pair of `tokens` tokens and a template of `template` tokens.

    It is a quarter of the pair. A template that leaves little is a property of the model: then query and document get
    half of the rest each.
    """
    return max(1, min(tokens // _ROOM_DIVISOR, (tokens - template) // 2))
