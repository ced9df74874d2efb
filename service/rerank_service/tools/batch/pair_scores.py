"""Scores of pairs, and the interface of everything that scores them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from rerank_service.tools.batch.parts import Pairs


@dataclass(frozen=True, slots=True)
class PairScores:
    """The outcome of scoring pairs."""

    scores: NDArray[np.float64]
    """Score of each pair, shape (pairs,); NaN for a pair with an error."""
    order: NDArray[np.float64]
    """The value that orders pairs of one query with equal scores, shape (pairs,): the logit, where it is known. A
    calibration may give many logits the same score."""
    errors: Mapping[int, str] = field(default_factory=dict)
    """Messages of the pairs that could not be scored, by position."""


class PairScorer(Protocol):
    """Scores pairs in the background."""

    def submit(self, pairs: Pairs) -> Callable[[], PairScores]:
        """Start to score pairs. The returned function waits for their scores."""
