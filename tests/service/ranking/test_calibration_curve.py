"""Calibration curves: never descending, constant at their ends, checked when a manifest is read."""

import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from rerank_service.ranking.calibration_curve import Calibration, Isotonic, Platt, sigmoid

LOGITS = st.lists(st.floats(-1000, 1000, width=32), min_size=1, max_size=60)


@st.composite
def isotonic(draw: st.DrawFn) -> Isotonic:
    """Draw a curve with any number of knots."""
    logits = sorted(draw(st.sets(st.floats(-100, 100, width=32), min_size=2, max_size=12)))
    values = sorted(draw(st.lists(st.floats(0, 1), min_size=len(logits), max_size=len(logits))))
    return Isotonic(logits=tuple(logits), values=tuple(values))


PLATT = st.builds(Platt, slope=st.floats(1e-3, 1e3), intercept=st.floats(-100, 100))


@given(PLATT | isotonic(), LOGITS)
def test_curve_never_descends_and_stays_between_0_and_1(curve: Platt | Isotonic, logits: list[float]) -> None:
    """Not even by a rounding error, at any knot or beyond them."""
    ascending = np.sort(np.array([*logits, *getattr(curve, "logits", ())]))
    scores = curve.scores(ascending)
    assert ((scores >= 0) & (scores <= 1)).all()
    assert (np.diff(scores) >= 0).all()


@given(isotonic())
@example(Isotonic(logits=(0, 1), values=(1 / 3, 0.99999)))
def test_isotonic_curve_goes_through_its_knots_and_is_constant_beyond(curve: Isotonic) -> None:
    """Exactly, at each knot."""
    assert curve.scores(np.array(curve.logits)).tolist() == list(curve.values)
    assert curve.scores(np.array([-1e300, 1e300])).tolist() == [curve.values[0], curve.values[-1]]


def test_isotonic_curve_is_linear_between_its_knots() -> None:
    """A quarter of the way is a quarter of the rise."""
    assert Isotonic(logits=(0, 4), values=(0.2, 0.6)).scores(np.array([1.0]))[0] == pytest.approx(0.3)


def test_platt_with_slope_1_and_intercept_0_is_the_sigmoid() -> None:
    """Exactly."""
    logits = np.linspace(-40, 800, 50)
    assert Platt(slope=1, intercept=0).scores(logits).tolist() == sigmoid(logits).tolist()


@pytest.mark.parametrize(
    ("curve", "words"),
    [
        ({"method": "platt", "slope": 0, "intercept": 0}, "greater than 0"),
        ({"method": "platt", "slope": -1, "intercept": 0}, "greater than 0"),
        ({"method": "platt", "slope": math.inf, "intercept": 0}, "finite"),
        ({"method": "platt", "slope": 1, "intercept": math.nan}, "finite"),
        ({"method": "isotonic", "logits": [1], "values": [0.5]}, "at least 2"),
        ({"method": "isotonic", "logits": [1, 1], "values": [0.5, 0.5]}, "strictly ascending"),
        ({"method": "isotonic", "logits": [1, 2], "values": [0.6, 0.5]}, "must not descend"),
        ({"method": "isotonic", "logits": [1, 2], "values": [0.5, 1.5]}, "less than or equal to 1"),
        ({"method": "isotonic", "logits": [1, 2], "values": [0.5]}, "2 logits and 1 value"),
        ({"method": "beta"}, "platt"),
    ],
)
def test_invalid_curve_is_rejected(curve: dict[str, object], words: str) -> None:
    """A curve in a manifest must never descend."""
    with pytest.raises(ValidationError, match=words):
        Calibration.model_validate({"meaning": "probability", "curve": curve})
