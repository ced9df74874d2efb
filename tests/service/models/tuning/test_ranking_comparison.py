"""The criterion by which the ranking of an engine matches fp32."""

import numpy as np
import pytest

from rerank_service.models.tuning.parity_set import kendall_tau_b
from rerank_service.models.tuning.ranking_comparison import MIN_TAU, RankingComparison


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_scores_that_are_not_finite_do_not_pass(wrong: float) -> None:
    """A precision whose numbers overflow is never chosen."""
    ours, theirs = np.array([1, 2, 3], np.float32), np.array([1, wrong, wrong], np.float32)
    assert kendall_tau_b(ours, theirs) == kendall_tau_b(theirs, ours) == 0.0
    assert RankingComparison(1).with_tau(kendall_tau_b(ours, theirs)).passes is False


def test_mean_over_the_whole_set_decides() -> None:
    """Or earlier, if the remaining queries cannot change the result."""
    assert RankingComparison(2, (1.0,)).passes is None
    assert RankingComparison(2, (1.0, 2 * MIN_TAU - 1.0)).passes is True
    assert RankingComparison(2, (0.98,)).passes is False
    assert np.isnan(RankingComparison(2).mean)
