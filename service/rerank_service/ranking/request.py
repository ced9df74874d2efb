"""One rerank request, without its documents, and the choices a caller can make in it."""

import math
from dataclasses import dataclass
from enum import Enum

from rerank_service.errors import InvalidRequest
from rerank_service.ranking.scores import ScoreType


class TooLong(Enum):
    """What becomes of a document that the model's window does not hold beside the query."""

    WINDOWS = "windows"
    """Scored in windows, as far as `max_tokens_per_doc` and `max_chunks_per_doc` let it."""
    WHOLE = "whole"
    """Likewise, and refused where those would cut it."""
    CUT = "cut"
    """Cut at the model's length."""
    REFUSE = "refuse"
    """InvalidRequest, which names the document."""


class WindowScore(Enum):
    """What makes the score of a document that is scored in windows."""

    BEST = "best"
    """Its best window."""
    BEST_TWO = "best_two"
    """The mean of its best two windows' logits."""


class CutSide(Enum):
    """Where a document is cut."""

    RIGHT = "right"
    """Its end is lost."""
    LEFT = "left"
    """Its beginning is lost."""


@dataclass(frozen=True, slots=True)
class RerankRequest:
    """All that is asked, but for the documents, which flow beside it.

    Raises:
        InvalidRequest: a value is out of its bounds.
    """

    query: str
    model: str = ""
    top_n: int | None = None
    return_documents: bool = False
    max_tokens_per_doc: int | None = None
    """None: as many as the server reads."""
    max_chunks_per_doc: int | None = None
    """Windows of a document that are scored, at most."""
    overlap_tokens: int | None = None
    """Tokens that neighbouring windows share, at most: half of a window. None: an eighth."""
    window_score: WindowScore = WindowScore.BEST
    too_long: TooLong = TooLong.WINDOWS
    cut_side: CutSide = CutSide.RIGHT
    score_type: ScoreType = ScoreType.PROBABILITY
    min_score: float | None = None
    priority: int = 0
    instruction: str = ""
    """What to look for, in place of the model's own instruction; empty: that."""

    def __post_init__(self) -> None:
        if not self.query:
            raise InvalidRequest("query must not be empty", field="query", reason="empty_query")
        for field, least in (("top_n", 1), ("max_tokens_per_doc", 1), ("max_chunks_per_doc", 1), ("overlap_tokens", 0)):
            value = getattr(self, field)
            if value is not None and value < least:
                wrong = f"{field} must be at least {least}, not {value}"
                raise InvalidRequest(wrong, field=field, reason="out_of_range")
        if self.min_score is not None and math.isnan(self.min_score):
            raise InvalidRequest("min_score must be a number", field="min_score", reason="out_of_range")
