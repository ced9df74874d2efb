"""PURE: what an order is worth, as trec_eval has it; a query without relevant documents is worth 0 in all.

nDCG@k: the gain of the document at rank r, divided by log2(r + 1), summed, over the same of the ideal order (Järvelin
and Kekäläinen, Cumulated gain-based evaluation of IR techniques, 2002). The gain is the grade, or 2^grade - 1.
MRR@k: 1 over the rank of the first relevant document, 0 if there is none in the first k.
Recall@k: how many of the relevant documents, found by the first stage or not, are in the first k.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

CUTOFF = 10
"""Of nDCG and MRR."""


@dataclass(frozen=True, slots=True)
class Measures:
    """What is measured."""

    gain: Literal["grade", "exp2"] = "grade"
    relevant_from: float = 1.0
    """The grade from which a document is relevant to MRR and recall."""
    recall_at: int = 10

    def of(self, grades: Sequence[float], ideal: Sequence[float]) -> "Figures":
        """Of the grades of an order, the first rank first."""
        return Figures(
            ndcg=self._ndcg(grades, ideal), mrr=self._reciprocal_rank(grades), recall=self._recall(grades, ideal)
        )

    def _ndcg(self, grades: Sequence[float], ideal: Sequence[float]) -> float:
        best = self._dcg(ideal)
        return self._dcg(grades) / best if best else 0.0

    def _dcg(self, grades: Sequence[float]) -> float:
        return math.fsum(self._gain(grade) / math.log2(rank + 1) for rank, grade in enumerate(grades[:CUTOFF], 1))

    def _gain(self, grade: float) -> float:
        return grade if self.gain == "grade" else 2.0**grade - 1.0

    def _reciprocal_rank(self, grades: Sequence[float]) -> float:
        ranks = (rank for rank, grade in enumerate(grades[:CUTOFF], 1) if grade >= self.relevant_from)
        return 1.0 / next(ranks, math.inf)

    def _recall(self, grades: Sequence[float], ideal: Sequence[float]) -> float:
        relevant = self._relevant(ideal)
        return self._relevant(grades[: self.recall_at]) / relevant if relevant else 0.0

    def _relevant(self, grades: Sequence[float]) -> int:
        return sum(grade >= self.relevant_from for grade in grades)


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one order, or the mean of several."""

    ndcg: float
    mrr: float
    recall: float


def mean(figures: Sequence[Figures]) -> Figures:
    """Of at least one."""
    return Figures(*(math.fsum(getattr(one, name) for one in figures) / len(figures) for name in Figures.__slots__))
