"""Our measures beside ir-measures', which asks trec_eval's code; and by hand what that cannot be asked."""

import math
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ir_measures import RR, Qrel, R, ScoredDoc, iter_calc, nDCG

from rerank_service.tools.evaluation.collection import best_first
from rerank_service.tools.evaluation.measures import Figures, Measures, mean

GRADES = st.lists(st.integers(-1, 4), min_size=1, max_size=40)


@given(GRADES, st.lists(st.integers(-1, 4), max_size=10), st.integers(1, 3), st.integers(1, 30))
def test_measures_are_trec_evals(ranked: list[int], missed: list[int], relevant_from: int, recall_at: int) -> None:
    """Of any order, with judged documents that are not in it, and with either gain."""
    grades = [max(0, grade) for grade in ranked]
    ideal = best_first([*ranked, *missed])
    judged = [*grades, *(max(0, one) for one in missed)]
    ours = Measures(relevant_from=relevant_from, recall_at=recall_at).of(grades, ideal)
    assert ours.ndcg == pytest.approx(_judge(nDCG @ 10, judged, len(ranked)), abs=1e-6)
    assert ours.mrr == pytest.approx(_judge(RR(rel=relevant_from) @ 10, judged, len(ranked)), abs=1e-6)
    assert ours.recall == pytest.approx(_judge(R(rel=relevant_from) @ recall_at, judged, len(ranked)), abs=1e-6)
    exponential = _judge(nDCG @ 10, [2**grade - 1 for grade in judged], len(ranked))
    assert Measures(gain="exp2").of(grades, ideal).ndcg == pytest.approx(exponential, abs=1e-6)


def _judge(measure: Any, judged: Sequence[int], ranked: int) -> float:
    """Of the first documents judged, in this order. One measure at a time: ir-measures 0.4.3 mixes up two nDCG."""
    qrels = [Qrel("q", f"d{at}", grade) for at, grade in enumerate(judged)]
    run = [ScoredDoc("q", f"d{at}", float(-at)) for at in range(ranked)]
    [found] = iter_calc([measure], qrels, run)
    return float(found.value)


def test_by_hand() -> None:
    """Three documents, of which the second and third are judged, and one that the first stage missed."""
    figures = Measures(recall_at=2).of([0.0, 2.0, 1.0], (3.0, 2.0, 1.0))
    assert figures.ndcg == pytest.approx((2 / math.log2(3) + 1 / 2) / (3 + 2 / math.log2(3) + 1 / 2))
    assert (figures.mrr, figures.recall) == (1 / 2, 1 / 3)


def test_what_has_no_relevant_documents_is_worth_nothing() -> None:
    """And counts, as in trec_eval."""
    assert Measures().of([0.0], (0.0,)) == Figures(0, 0, 0)
    assert mean([Figures(0, 0, 0), Figures(1, 1, 1)]) == Figures(0.5, 0.5, 0.5)


def test_mrr_ends_at_its_cutoff() -> None:
    """Rank 10 counts, rank 11 does not."""
    assert Measures().of([0.0] * 9 + [1.0], (1.0,)).mrr == 0.1
    assert Measures().of([0.0] * 10 + [1.0], (1.0,)).mrr == 0
