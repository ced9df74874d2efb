"""Probabilities of a graph become logits again: the order is kept, and no logit is infinite."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerank_service.engine.logits import GraphActivation, OutputForm


@given(st.floats(-15, 15))
def test_sigmoid_is_inverted(logit: float) -> None:
    """As exactly as fp32 keeps a probability."""
    probability = np.array([[1 / (1 + np.exp(-logit))]], np.float32)
    rounding = 6e-8 / float(probability[0, 0] * (1 - probability[0, 0]) + 1e-12)
    inverted = OutputForm(activation=GraphActivation.SIGMOID).logits(probability)
    assert inverted == pytest.approx([logit], abs=rounding + 1e-5)


@given(st.floats(-80, 80))
def test_softmax_of_two_labels_is_inverted(logit: float) -> None:
    """Far beyond the logits of a sigmoid, since both probabilities are known."""
    odds = np.exp(np.array([[-logit / 2, logit / 2]]))
    probabilities = (odds / odds.sum()).astype(np.float32)
    form = OutputForm(difference=(1, 0), activation=GraphActivation.SOFTMAX)
    assert form.logits(probabilities) == pytest.approx([logit], abs=1e-4)
    logarithms = np.log(odds / odds.sum()).astype(np.float32)
    form = OutputForm(difference=(1, 0), activation=GraphActivation.LOG_SOFTMAX)
    assert form.logits(logarithms) == pytest.approx([logit], abs=1e-4)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("activation", [GraphActivation.SIGMOID, GraphActivation.SOFTMAX])
def test_rounded_probabilities_keep_their_order(dtype: type[np.floating], activation: GraphActivation) -> None:
    """0 and 1 get finite logits beyond those of all other probabilities. NaN stays NaN."""
    numbers = np.finfo(dtype)
    column = np.array([0, numbers.tiny, 0.5, 1 - numbers.epsneg, 1], dtype)
    logits = OutputForm(activation=activation).logits(column[:, None])
    assert np.isfinite(logits).all()
    assert all(lower < higher for lower, higher in pairwise(logits.tolist())) or dtype is np.float64
    assert sorted(logits) == logits.tolist()
    assert np.isnan(OutputForm(activation=activation).logits(np.array([[np.nan]], dtype))).all()


def test_logarithm_of_a_probability_near_one_is_inverted() -> None:
    """fp32 has numbers much closer to 0 than to 1."""
    form = OutputForm(activation=GraphActivation.LOG_SIGMOID)
    logits = form.logits(np.array([[-1e-20], [0.0], [-200.0]], np.float32))
    assert logits == pytest.approx([46.05, 87.34, -200.0], abs=0.01)
