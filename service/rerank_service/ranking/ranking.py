"""The answer to a rerank request."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rerank_service.ranking.results import Missing, RankedDocument, Timing, Usage
from rerank_service.ranking.scoreboard import Scoreboard


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """The answer: iterating gives the results, the best first, made as they are asked for."""

    model: str
    order: NDArray[np.int64]
    """Indexes of the documents that are returned, the best first."""
    usage: Usage
    timing: Timing
    board: Scoreboard
    missing: Missing | None = None
    """None where all is here."""

    def __len__(self) -> int:
        return len(self.order)

    @property
    def documents(self) -> int:
        """Documents of the request."""
        return len(self.board)

    @property
    def windows(self) -> int:
        """In which they were scored: one for each, and more for long ones."""
        return self.board.windows

    def __iter__(self) -> Iterator[RankedDocument]:
        return self.board.results(self.order)
