"""The ranking of a request."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rerank_service.ranking.results import Missing, ModelVersion, RankedDocument, Timing, Usage
from rerank_service.ranking.scoreboard import Scoreboard
from rerank_service.ranking.scores import ScoreType


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """The results of a request. Iterating yields them, best first; each result is built when it is needed."""

    model: str
    """Name of the model that scored."""
    version: ModelVersion
    order: NDArray[np.int64]
    """Indexes of the returned documents, best first; shape (results,)."""
    usage: Usage
    timing: Timing
    board: Scoreboard
    missing: Missing | None = None
    """The documents without a score, in a partial ranking. None: the ranking is complete."""
    query_truncated: bool = False
    """True if the query was cut."""

    def __len__(self) -> int:
        """Return the number of results."""
        return len(self.order)

    @property
    def score_type(self) -> ScoreType:
        """Meaning of the relevance scores: raw, sigmoid or calibrated."""
        return self.board.score_type

    @property
    def documents(self) -> int:
        """Number of documents in the request."""
        return len(self.board)

    @property
    def windows(self) -> int:
        """Number of windows of all documents; a document that fits the model has one."""
        return self.board.windows

    def __iter__(self) -> Iterator[RankedDocument]:
        return self.board.results(self.order)
