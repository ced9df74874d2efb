"""Squared error and calibration error, compared with values computed by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerank_service.tools.calibration.quality import BINS, equal_mass_bins, measure_quality


def test_errors_equal_values_computed_by_hand() -> None:
    """All labels have the score 0.8, and half of them are relevant."""
    result = measure_quality(np.full(4, 0.8), np.array([1.0, 0.0, 1.0, 0.0]), np.ones(4))
    assert result.squared_error == pytest.approx((2 * 0.04 + 2 * 0.64) / 4)
    assert result.calibration_error == pytest.approx(0.3)


def test_weight_counts_as_that_many_labels() -> None:
    """A label of weight 3 equals three labels."""
    scores, targets = np.array([0.1, 0.6, 0.9]), np.array([0.0, 1.0, 1.0])
    weighted = measure_quality(scores, targets, np.array([3.0, 1.0, 2.0]))
    repeated = measure_quality(np.repeat(scores, (3, 1, 2)), np.repeat(targets, (3, 1, 2)), np.ones(6))
    assert weighted.squared_error == pytest.approx(repeated.squared_error)
    assert weighted.calibration_error == pytest.approx(repeated.calibration_error)


def test_bins_have_equal_mass() -> None:
    """300 labels make 15 bins of 20."""
    rng = np.random.default_rng(0)
    result = equal_mass_bins(rng.random(300), rng.integers(0, 2, 300).astype(np.float64), np.ones(300))
    assert [round(part.mass * 300) for part in result] == [20] * BINS


@given(st.lists(st.tuples(st.sampled_from([0.1, 0.5, 0.9]), st.integers(0, 1)), min_size=1, max_size=80), st.randoms())
def test_order_of_the_labels_has_no_effect(pairs: list[tuple[float, int]], random: object) -> None:
    """Also among equal scores that lie in two bins."""
    shuffled = sorted(pairs, key=lambda _: random.random())  # type: ignore[attr-defined]
    errors = []
    for labels in (pairs, shuffled):
        scores, targets = np.array(labels, np.float64).T
        errors.append(measure_quality(scores, targets, np.ones(len(labels))).calibration_error)
    assert errors[0] == pytest.approx(errors[1])


def test_scores_equal_to_labels_have_no_error() -> None:
    """One label is enough to measure it."""
    assert measure_quality(np.array([1.0]), np.array([1.0]), np.ones(1)).calibration_error == 0
