"""One rerank request without its documents, and the choices in it."""

import math
from dataclasses import dataclass
from enum import Enum

from rerank_service.errors import InvalidRequest
from rerank_service.ranking.scores import ScoreType

_LIMITS = ("top_n", "max_tokens_per_doc", "max_chunks_per_doc", "max_query_tokens", "max_pair_tokens", "highlights")
"""Fields in which 0 has the meaning of None: generated clients send 0 for an unset number (docs/decisions/0027)."""


class TooLong(Enum):
    """The treatment of a document that exceeds the token limit of the model beside the query."""

    WINDOWS = "windows"
    """Score it in windows, within `max_tokens_per_doc` and `max_chunks_per_doc`; cut the rest."""
    WHOLE = "whole"
    """Score it in windows. Reject the request if `max_tokens_per_doc` or `max_chunks_per_doc` would cut it."""
    CUT = "cut"
    """Cut it to the token limit of the model."""
    REFUSE = "refuse"
    """Reject the request with an InvalidRequest that names the document."""


class QueryTooLong(Enum):
    """The treatment of a query that leaves a document too little room (`encoding/pair_limits.py`)."""

    CUT = "cut"
    """Cut it, and mark the ranking."""
    REFUSE = "refuse"
    """Reject the request with an InvalidRequest that names the query."""


class WindowScore(Enum):
    """The score of a document with several windows."""

    BEST = "best"
    """The highest logit."""
    BEST_TWO = "best_two"
    """The mean of the two highest logits."""


class CutSide(Enum):
    """The side on which a query or a document is cut."""

    RIGHT = "right"
    """Remove the end."""
    LEFT = "left"
    """Remove the beginning."""


def check_query(query: str) -> None:
    """Check that a query is not empty.

    Raises:
        InvalidRequest: the query is empty.
    """
    if not query:
        raise InvalidRequest("query must not be empty", field="query", reason="empty_query")


@dataclass(frozen=True, slots=True, kw_only=True)
class RerankRequest:
    """A rerank request. Its documents are passed separately.

    Raises:
        InvalidRequest: a value is out of its bounds.
    """

    query: str
    model: str = ""
    """Name of the model; empty for the served model."""
    top_n: int | None = None
    """Maximum number of results. None or 0: all documents. A 0 is stored as None, here and in the next two fields."""
    return_documents: bool = False
    max_tokens_per_doc: int | None = None
    """Maximum tokens read of each document. None or 0: the server's default."""
    max_chunks_per_doc: int | None = None
    """Maximum number of windows scored of each document. None or 0: no limit."""
    overlap_tokens: int | None = None
    """Maximum tokens that two neighbouring windows share; at most half a window. None: an eighth of a window."""
    window_score: WindowScore = WindowScore.BEST
    too_long: TooLong = TooLong.WINDOWS
    query_too_long: QueryTooLong | None = None
    """None: REFUSE if `too_long` rejects documents that would be cut, else CUT."""
    max_query_tokens: int | None = None
    """Maximum tokens of the query. None or 0: as many as the model allows."""
    max_pair_tokens: int | None = None
    """Maximum tokens of a pair. None, 0, or more than the model's limit: the model's limit."""
    cut_side: CutSide = CutSide.RIGHT
    score_type: ScoreType = ScoreType.PROBABILITY
    min_score: float | None = None
    """Minimum relevance score of a result, in the request's score type."""
    priority: int = 0
    """Requests with a lower number run earlier."""
    instruction: str = ""
    """Text for the instruction slot of the template. Empty: the model's own instruction."""
    highlights: int | None = None
    """Number of sentences to mark in each result. None or 0: none."""

    def __post_init__(self) -> None:
        check_query(self.query)
        for field in (*_LIMITS, "overlap_tokens"):
            value = getattr(self, field)
            if value is not None and value < 0:
                raise InvalidRequest(f"{field} must be at least 0, not {value}", field=field, reason="out_of_range")
        for field in _LIMITS:
            object.__setattr__(self, field, getattr(self, field) or None)
        if self.min_score is not None and math.isnan(self.min_score):
            raise InvalidRequest("min_score must be a number, not NaN", field="min_score", reason="out_of_range")

    @property
    def cuts_query(self) -> bool:
        """True if a query that is too long is cut, False if the request is rejected."""
        if self.query_too_long is None:
            return self.too_long not in (TooLong.WHOLE, TooLong.REFUSE)
        return self.query_too_long is QueryTooLong.CUT
