"""Squared error and calibration error, reckoned by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerank_service.tools.calibration.quality import BINS, bins, quality


def test_by_hand() -> None:
    """One score, one bin's worth of labels: half of them are relevant, and the score says 0.8."""
    found = quality(np.full(4, 0.8), np.array([1.0, 0.0, 1.0, 0.0]), np.ones(4))
    assert found.squared_error == pytest.approx((2 * 0.04 + 2 * 0.64) / 4)
    assert found.calibration_error == pytest.approx(0.3)


def test_weights_are_as_good_as_labels() -> None:
    """A label of weight 3 is three labels."""
    scores, targets = np.array([0.1, 0.6, 0.9]), np.array([0.0, 1.0, 1.0])
    weighted = quality(scores, targets, np.array([3.0, 1.0, 2.0]))
    repeated = quality(np.repeat(scores, (3, 1, 2)), np.repeat(targets, (3, 1, 2)), np.ones(6))
    assert weighted.squared_error == pytest.approx(repeated.squared_error)
    assert weighted.calibration_error == pytest.approx(repeated.calibration_error)


def test_bins_have_equal_mass() -> None:
    """300 labels make 15 bins of 20."""
    rng = np.random.default_rng(0)
    found = bins(rng.random(300), rng.integers(0, 2, 300).astype(np.float64), np.ones(300))
    assert [round(one.mass * 300) for one in found] == [20] * BINS


@given(st.lists(st.tuples(st.sampled_from([0.1, 0.5, 0.9]), st.integers(0, 1)), min_size=1, max_size=80), st.randoms())
def test_the_order_of_the_labels_says_nothing(pairs: list[tuple[float, int]], random: object) -> None:
    """Also where many have one score: bins cut through these."""
    turned = sorted(pairs, key=lambda _: random.random())  # type: ignore[attr-defined]
    errors = []
    for some in (pairs, turned):
        scores, targets = np.array(some, np.float64).T
        errors.append(quality(scores, targets, np.ones(len(some))).calibration_error)
    assert errors[0] == pytest.approx(errors[1])


def test_scores_that_are_the_labels_have_no_error() -> None:
    """And one label is enough for that."""
    assert quality(np.array([1.0]), np.array([1.0]), np.ones(1)).calibration_error == 0
