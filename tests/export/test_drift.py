"""Drift: the difference between two scorings, and the limits for it."""

import numpy as np
import pytest
from numpy.typing import NDArray

from rerank_export.gate.drift import drift
from rerank_export.gate.tolerance import FP16, FP32, INT8, Tolerance, of_precision
from rerank_service.models.tuning.ranking_change import RankingChange


def _logits(*queries: list[float]) -> list[NDArray[np.float32]]:
    return [np.array(query, np.float32) for query in queries]


def test_equal_scorings_have_no_drift() -> None:
    """They are within every tolerance."""
    some = _logits([3, 1, 2], [0, -1])
    found = drift(some, some)
    assert found.ranking == RankingChange(mean_loss=0, worst_loss=0, mean_move=0, p99_move=0)
    assert (found.max_difference, found.mean_difference, found.tau, found.top_10) == (0, 0, 1, 1)
    assert [found.beyond(allowed) for allowed in (FP32, FP16, INT8)] == [[], [], []]


def test_drift_covers_all_queries() -> None:
    """The last pair differs most. One of the two queries is ranked in reverse."""
    found = drift(_logits([20.5, 10], [0, 1.25, 3]), _logits([20, 10], [2, 1, 0]))
    assert found.max_difference == 3
    assert found.mean_difference == pytest.approx((0.5 + 0 + 2 + 0.25 + 3) / 5)
    assert found.tau == 0
    assert found.worst == 4
    assert found.max_relative_difference == 3


def test_limit_grows_with_the_size_of_a_logit() -> None:
    """Sums of large numbers have larger rounding errors."""
    found = drift(_logits([1000.05]), _logits([1000]))
    assert found.beyond(FP32) == []
    assert drift(_logits([1.05]), _logits([1])).beyond(FP32)


def test_ten_best_are_compared_as_a_set() -> None:
    """Two of ten differ. The order of the ten is covered by the relevance loss."""
    expected = np.arange(20, dtype=np.float32)
    seen = expected.copy()
    seen[[10, 11]] = -1
    assert drift([seen], [expected]).top_10 == 0.8


@pytest.mark.parametrize("allowed", [FP32, FP16, INT8], ids=["fp32", "fp16", "int8"])
@pytest.mark.parametrize("odd", [np.nan, np.inf])
def test_nan_and_infinity_exceed_every_tolerance(allowed: Tolerance, odd: float) -> None:
    """Such a pair is also the worst."""
    found = drift(_logits([1, 2, 3], [1, odd, 3]), _logits([1, 2, 3], [1, 2, 3]))
    assert found.beyond(allowed)
    assert found.worst == 4


def test_message_names_value_and_limit() -> None:
    """A reversed ranking exceeds the limits of int8, and the logit limit of fp32."""
    found = drift(_logits([-2, 0, 2]), _logits([2, 0, -2]))
    assert found.tau == -1
    assert found.beyond(INT8) == [
        "mean relevance loss 0.3079 (allowed: 0.002)",
        "relevance loss of the worst query 0.3079 (allowed: 0.02)",
        "mean change of a top-ten probability 0.5077 (allowed: 0.01)",
        "99th percentile of these changes 0.7616 (allowed: 0.05)",
    ]
    assert found.beyond(FP32) == ["logits differ by up to 4.0e+00 (allowed: 1e-04)"]


def test_swaps_of_irrelevant_documents_are_within_the_limits() -> None:
    """Tau-b is 0, and no user sees a difference."""
    found = drift(_logits([5, -7, -6.9, -6.8]), _logits([5, -6.8, -6.9, -7]))
    assert found.tau == 0
    assert found.beyond(INT8) == []


def test_rounded_weights_have_the_limits_of_fp16() -> None:
    """The limits depend on the weights, not only on the precision of the computation."""
    assert of_precision("fp32", rounded=False) is FP32
    assert of_precision("fp32", rounded=True) is of_precision("fp16", rounded=True) is FP16
    assert of_precision("int8", rounded=False) is INT8
