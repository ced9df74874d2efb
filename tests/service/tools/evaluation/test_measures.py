"""Measures, compared with ir-measures, which runs trec_eval, and with values computed by hand."""

import math
from collections.abc import Sequence
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ir_measures import RR, Qrel, R, ScoredDoc, iter_calc, nDCG

from rerank_service.tools.evaluation.collection import descending_grades
from rerank_service.tools.evaluation.measures import Measures, MeasureValues, mean

GRADES = st.lists(st.integers(-1, 4), min_size=1, max_size=40)


@given(GRADES, st.lists(st.integers(-1, 4), max_size=10), st.integers(1, 3), st.integers(1, 30))
def test_measures_equal_those_of_trec_eval(
    ranked: list[int], missed: list[int], relevant_from: int, recall_at: int
) -> None:
    """For any ranking, with judged documents outside it, and with both gains."""
    grades = [max(0, grade) for grade in ranked]
    ideal = descending_grades([*ranked, *missed])
    judged = [*grades, *(max(0, grade) for grade in missed)]
    ours = Measures(relevant_from=relevant_from, recall_at=recall_at).compute(grades, ideal)
    assert ours.ndcg == pytest.approx(_expected(nDCG @ 10, judged, len(ranked)), abs=1e-6)
    assert ours.mrr == pytest.approx(_expected(RR(rel=relevant_from) @ 10, judged, len(ranked)), abs=1e-6)
    assert ours.recall == pytest.approx(_expected(R(rel=relevant_from) @ recall_at, judged, len(ranked)), abs=1e-6)
    exponential = _expected(nDCG @ 10, [2**grade - 1 for grade in judged], len(ranked))
    assert Measures(gain="exp2").compute(grades, ideal).ndcg == pytest.approx(exponential, abs=1e-6)


def _expected(measure: Any, judged: Sequence[int], ranked: int) -> float:
    """Return a measure of the ranking of the first `ranked` judged documents. One measure per call: ir-measures 0.4.3
    confuses two nDCG measures."""
    qrels = [Qrel("q", f"d{at}", grade) for at, grade in enumerate(judged)]
    run = [ScoredDoc("q", f"d{at}", float(-at)) for at in range(ranked)]
    [metric] = iter_calc([measure], qrels, run)
    return float(metric.value)


def test_measures_equal_values_computed_by_hand() -> None:
    """Three documents, the second and third relevant, and a relevant document outside the ranking."""
    values = Measures(recall_at=2).compute([0.0, 2.0, 1.0], (3.0, 2.0, 1.0))
    assert values.ndcg == pytest.approx((2 / math.log2(3) + 1 / 2) / (3 + 2 / math.log2(3) + 1 / 2))
    assert (values.mrr, values.recall) == (1 / 2, 1 / 3)


@pytest.mark.parametrize("gain", ["grade", "exp2"])
def test_the_largest_grade_has_finite_gains(gain: Literal["grade", "exp2"]) -> None:
    """Also the sum of ten of them."""
    measures = Measures(gain=gain)
    assert measures.compute([measures.max_grade] * 10, (measures.max_grade,) * 10).ndcg == 1


def test_query_without_relevant_documents_counts_as_zero() -> None:
    """It is part of the mean, as in trec_eval."""
    assert Measures().compute([0.0], (0.0,)) == MeasureValues(0, 0, 0)
    assert mean([MeasureValues(0, 0, 0), MeasureValues(1, 1, 1)]) == MeasureValues(0.5, 0.5, 0.5)


def test_mrr_ignores_ranks_beyond_the_cutoff() -> None:
    """Rank 10 counts, rank 11 does not."""
    assert Measures().compute([0.0] * 9 + [1.0], (1.0,)).mrr == 0.1
    assert Measures().compute([0.0] * 10 + [1.0], (1.0,)).mrr == 0
