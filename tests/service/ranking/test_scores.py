"""Relevance scores and the order of results."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerank_service.ranking.calibration_curve import Calibration, Platt
from rerank_service.ranking.scores import Activation, ScoreType, rank, relevance

LOGITS = st.lists(st.floats(-1000, 1000, width=32), min_size=1, max_size=60)
CALIBRATION = Calibration(meaning="probability", curve=Platt(slope=2, intercept=1))
TOP_N = st.none() | st.integers(1, 70)


@given(LOGITS, TOP_N, st.none() | st.floats(0, 1))
def test_rank_sorts_by_logit_and_keeps_the_order_of_ties(
    logits: list[float], top_n: int | None, min_score: float | None
) -> None:
    """The reference is Python's stable sort, then `min_score`, then `top_n`."""
    array = np.array(logits, np.float32)
    expected = sorted(range(len(logits)), key=lambda index: -logits[index])
    kept = None
    if min_score is not None:
        kept = relevance(array, Activation.SIGMOID, ScoreType.PROBABILITY) >= min_score
        expected = [index for index in expected if kept[index]]
    assert rank(array, top_n=top_n, kept=kept).tolist() == expected[:top_n]


@given(LOGITS)
def test_probability_is_in_the_unit_interval_and_monotone(logits: list[float]) -> None:
    """Saturation flattens scores; it never reverses them and never warns."""
    array = np.sort(np.array(logits, np.float32))
    scores = relevance(array, Activation.SIGMOID, ScoreType.PROBABILITY)
    assert ((scores >= 0) & (scores <= 1)).all()
    assert (np.diff(scores) >= 0).all()


def test_saturated_scores_keep_the_order_of_their_logits() -> None:
    """Two logits whose probability is 1.0 are still ranked."""
    array = np.array([50.0, 60.0], np.float32)
    assert relevance(array, Activation.SIGMOID, ScoreType.PROBABILITY).tolist() == [1, 1]
    assert rank(array).tolist() == [1, 0]


def test_raw_scores_and_identity_models_give_the_logit() -> None:
    """Neither applies a sigmoid."""
    array = np.array([-2.5], np.float32)
    assert relevance(array, Activation.SIGMOID, ScoreType.RAW)[0] == -2.5
    assert relevance(array, Activation.IDENTITY, ScoreType.PROBABILITY)[0] == -2.5


def test_calibration_applies_unless_the_score_type_is_sigmoid() -> None:
    """A curve of slope 2 and intercept 1, computed by hand."""
    array = np.array([-1.0, 0.5], np.float32)
    for activation in Activation:
        for score_type in (ScoreType.PROBABILITY, ScoreType.CALIBRATED):
            scores = relevance(array, activation, score_type, CALIBRATION)
            assert scores.tolist() == pytest.approx([1 / (1 + math.e), 1 / (1 + math.exp(-2))])
    scores = relevance(array, Activation.SIGMOID, ScoreType.SIGMOID, CALIBRATION)
    assert scores.tolist() == pytest.approx([1 / (1 + math.e), 1 / (1 + math.exp(-0.5))])
