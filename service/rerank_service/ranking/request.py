"""One rerank request without its documents, and the choices in it."""

import math
from dataclasses import dataclass
from enum import Enum

from rerank_service.errors import InvalidRequest
from rerank_service.ranking.scores import ScoreType

_MINIMUM = {"top_n": 1, "max_tokens_per_doc": 1, "max_chunks_per_doc": 1, "overlap_tokens": 0}


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


class WindowScore(Enum):
    """The score of a document with several windows."""

    BEST = "best"
    """The highest logit."""
    BEST_TWO = "best_two"
    """The mean of the two highest logits."""


class CutSide(Enum):
    """The side on which a document is cut."""

    RIGHT = "right"
    """Remove the end."""
    LEFT = "left"
    """Remove the beginning."""


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
    """Maximum number of results; at least 1. None: all documents."""
    return_documents: bool = False
    max_tokens_per_doc: int | None = None
    """Maximum tokens read of each document; at least 1. None: the server's default."""
    max_chunks_per_doc: int | None = None
    """Maximum number of windows scored of each document; at least 1. None: no limit."""
    overlap_tokens: int | None = None
    """Maximum tokens that two neighbouring windows share; at most half a window. None: an eighth of a window."""
    window_score: WindowScore = WindowScore.BEST
    too_long: TooLong = TooLong.WINDOWS
    cut_side: CutSide = CutSide.RIGHT
    score_type: ScoreType = ScoreType.PROBABILITY
    min_score: float | None = None
    """Minimum relevance score of a result, in the request's score type."""
    priority: int = 0
    """Requests with a lower number run earlier."""
    instruction: str = ""
    """Text for the instruction slot of the template. Empty: the model's own instruction."""

    def __post_init__(self) -> None:
        if not self.query:
            raise InvalidRequest("query must not be empty", field="query", reason="empty_query")
        for field, minimum in _MINIMUM.items():
            value = getattr(self, field)
            if value is not None and value < minimum:
                message = f"{field} must be at least {minimum}, not {value}"
                raise InvalidRequest(message, field=field, reason="out_of_range")
        if self.min_score is not None and math.isnan(self.min_score):
            raise InvalidRequest("min_score must be a number, not NaN", field="min_score", reason="out_of_range")
