"""The criterion by which the ranking of an engine matches fp32."""

import numpy as np
import pytest
from numpy.typing import NDArray

from rerank_service.models.tuning.parity_set import kendall_tau_b
from rerank_service.models.tuning.ranking_comparison import RankingComparison

FIRST = np.array([5, -5, -6, -7], np.float32)
"""One relevant document, which is first."""
SWAPPED = np.array([5, -7, -6, -5], np.float32)
"""The same probabilities within 0.006, the irrelevant documents in another order."""
WRONG = np.array([-5, 5, -6, -7], np.float32)
"""The relevant document is second: a loss of 0.37."""


def _compared(*others: NDArray[np.float32], total: int, enough: int | None = None) -> RankingComparison:
    comparison = RankingComparison(total, enough=enough)
    for other in others:
        comparison = comparison.with_query(FIRST, other)
    return comparison


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_scores_that_are_not_finite_do_not_pass(wrong: float) -> None:
    """A precision whose numbers overflow is never chosen, even in one of 200 queries."""
    ours, theirs = np.array([1, 2, 3], np.float32), np.array([1, wrong, wrong], np.float32)
    assert kendall_tau_b(ours, theirs) == kendall_tau_b(theirs, ours) == 0.0
    assert RankingComparison(200).with_query(ours, theirs).passes is False


def test_swaps_of_irrelevant_documents_pass() -> None:
    """Tau-b is 0 for this query."""
    assert kendall_tau_b(FIRST, SWAPPED) == 0.0
    assert _compared(SWAPPED, total=1).passes is True


def test_the_worst_query_decides_at_once() -> None:
    """However well the other queries match: the mean of 1000 would be below its bound."""
    comparison = _compared(WRONG, total=1000)
    assert comparison.passes is False
    assert comparison.change is not None
    assert [message.partition(" 0.")[0] for message in comparison.beyond] == ["relevance loss of the worst query"]


def test_the_mean_decides_as_soon_as_the_rest_cannot_save_it() -> None:
    """Four queries with a loss of 0.0069 (below the bound of one query): their mean over 20 stays below 0.002."""
    swap = np.array([0.1, 0.0, -6], np.float32)
    other = np.array([0.05, 0.051, -6], np.float32)
    comparison, results = RankingComparison(20), []
    for _ in range(8):
        comparison = comparison.with_query(swap, other)
        results.append(comparison.passes)
    assert results[0] is None
    assert results[-1] is False
    assert [message.partition(" 0.")[0] for message in comparison.beyond] == ["mean relevance loss"]


def test_moved_probabilities_do_not_pass() -> None:
    """The order is the same, and scores that clients compare with a limit are not."""
    moved = _compared(np.array([1, -5, -6, -7], np.float32), total=1)
    assert moved.passes is False
    assert [message.partition(" 0.")[0] for message in moved.beyond] == [
        "mean change of a top-ten probability",
        "99th percentile of these changes",
    ]


def _similar_documents_first() -> tuple[list[NDArray[np.float32]], list[NDArray[np.float32]]]:
    """Return the logits of fp32 for 16 queries, and those of an engine. The first query has no relevant document."""
    rng = np.random.default_rng(0)
    references = [rng.normal(-9, 0.3, 20).astype(np.float32) for _ in range(16)]
    for reference in references[1:]:
        reference[0] = 5
    return references, [(each + rng.normal(0, 0.1, 20)).astype(np.float32) for each in references]


def test_scale_of_the_first_query_refuses_no_engine_for_good() -> None:
    """Its logits would be standardised, and those of the whole set are not. The order of the queries has no effect."""
    references, others = _similar_documents_first()
    for step in (1, -1):
        comparison, results = RankingComparison(16), []
        for reference, other in list(zip(references, others, strict=True))[::step]:
            comparison = comparison.with_query(reference, other)
            results.append(comparison.passes)
        assert results == [None] * 15 + [True]
    standardised = RankingComparison(1).with_query(references[0], others[0])
    assert standardised.passes is False, "it is the whole set"


def test_scale_of_the_first_queries_accepts_no_engine_alone() -> None:
    """They would be standardised, and the change is small on that scale only."""
    first = np.linspace(-30, -2.7, 20, dtype=np.float32)
    other = first.copy()
    other[-1] = -3.9
    comparison = RankingComparison(9, enough=3)
    for _ in range(3):
        comparison = comparison.with_query(first, other)
    assert comparison.change is not None
    assert not comparison.change.beyond()
    assert comparison.passes is None


def test_remaining_queries_leave_the_result_open() -> None:
    """Without a number of queries that is enough, the whole set counts."""
    assert _compared(FIRST, total=2).passes is None
    assert _compared(FIRST, FIRST, total=2).passes is True
    assert RankingComparison(2).passes is None
    assert RankingComparison(0).passes is False, "no query fits the token limit of the model"


def test_a_clear_result_of_enough_queries_passes() -> None:
    """Within a part of each bound. Between that and the bound, more queries are compared."""
    assert _compared(FIRST, FIRST, total=9, enough=3).passes is None
    assert _compared(FIRST, FIRST, FIRST, total=9, enough=3).passes is True
    near = np.array([4.1, -5, -6, -7], np.float32)  # moves the first probability by 0.0096: 0.0027 in the mean
    nearer = np.array([2.9, -5, -6, -7], np.float32)  # by 0.045
    assert _compared(near, near, near, total=9, enough=3).passes is True
    assert _compared(FIRST, FIRST, nearer, total=9, enough=3).passes is None
