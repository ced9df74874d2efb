"""Effectiveness measures of a ranking, as in trec_eval. Pure functions.

- nDCG@k: the sum of gain / log2(rank + 1) over the first k ranks, divided by the same sum of the ideal order
  (Järvelin and Kekäläinen, Cumulated gain-based evaluation of IR techniques, 2002). The gain is the grade, or
  2^grade - 1.
- MRR@k: 1 / rank of the first relevant document, or 0 if the first k have none.
- Recall@k: the share of all relevant documents, found by the first stage or not, that are in the first k.

All measures of a query without relevant documents are 0.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

CUTOFF = 10
"""The k of nDCG@k and MRR@k."""
NDCG = f"nDCG@{CUTOFF}"
"""Name of the measure in tables and plots."""

_MAX_GRADES = {"grade": 1e300, "exp2": 1000.0}


@dataclass(frozen=True, slots=True)
class MeasureValues:
    """Measures of one ranking, or their mean over several; each from 0 to 1."""

    ndcg: float
    mrr: float
    recall: float


@dataclass(frozen=True, slots=True)
class Measures:
    """Options of the measures."""

    gain: Literal["grade", "exp2"] = "grade"
    relevant_from: float = 1.0
    """Smallest grade that counts as relevant in MRR and recall."""
    recall_at: int = 10
    """The k of recall@k."""

    @property
    def max_grade(self) -> float:
        """Largest grade. With larger ones, the sums of nDCG would exceed the largest float."""
        return _MAX_GRADES[self.gain]

    def compute(self, grades: Sequence[float], ideal: Sequence[float]) -> MeasureValues:
        """Return the measures of a ranking.

        `grades` are the grades of its documents, rank 1 first. `ideal` are the grades of all judged documents in
        descending order.
        """
        return MeasureValues(
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
        relevant = self._count_relevant(ideal)
        return self._count_relevant(grades[: self.recall_at]) / relevant if relevant else 0.0

    def _count_relevant(self, grades: Sequence[float]) -> int:
        return sum(grade >= self.relevant_from for grade in grades)


def mean(values: Sequence[MeasureValues]) -> MeasureValues:
    """Return the mean of each measure. `values` has at least one element."""
    names = MeasureValues.__slots__
    return MeasureValues(*(math.fsum(getattr(value, name) for value in values) / len(values) for name in names))
