"""Relevance loss of a ranking, with numbers that are computed by hand."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from rerank_service.models.tuning.relevance_loss import (
    MAX_MEAN_LOSS,
    MAX_P99_MOVE,
    MAX_WORST_LOSS,
    probability_moves,
    relevance_loss,
)
from rerank_service.tools.evaluation.measures import Measures

_LOG3 = math.log(3)  # its sigmoid is 0.75, that of -log 3 is 0.25, that of 0 is 0.5


def _logits(*values: float) -> NDArray[np.float32]:
    return np.array(values, np.float32)


def test_same_order_loses_nothing() -> None:
    """Whatever the logits are: only their order counts."""
    assert relevance_loss(_logits(3, 1, -2), _logits(0.3, 0.2, 0.1)) == 0.0


def test_a_swap_costs_the_difference_of_the_gains() -> None:
    """Gains 0.75 and 0.25: (0.75 + 0.25 / log2(3)) is ideal, 0.25 + 0.75 / log2(3) is what the other order has."""
    ideal = 0.75 + 0.25 * 0.6309297535714575
    found = 0.25 + 0.75 * 0.6309297535714575
    assert relevance_loss(_logits(_LOG3, -_LOG3), _logits(1, 2)) == pytest.approx(1 - found / ideal, abs=1e-7)
    assert 1 - found / ideal == pytest.approx(0.20330, abs=1e-5)


def test_three_documents_by_hand() -> None:
    """Gains 0.75, 0.5, 0.25 in the order 2, 3, 1: 0.5 + 0.25 x 0.63093 + 0.75 x 0.5 = 1.03273 of 1.19046."""
    loss = relevance_loss(_logits(_LOG3, 0, -_LOG3), _logits(1, 3, 2))
    assert loss == pytest.approx(1 - 1.0327324 / 1.1904649, abs=1e-6)


def test_swaps_of_irrelevant_documents_cost_nearly_nothing() -> None:
    """What tau-b counts, and users do not see: the relevant document stays first."""
    reference = _logits(4, -9, -9.1, -9.2, -9.3)
    assert relevance_loss(reference, _logits(4, -9.3, -9.2, -9.1, -9)) < 1e-5 < MAX_MEAN_LOSS


def test_swaps_below_rank_ten_cost_nothing() -> None:
    """The measure is nDCG@10."""
    reference = np.arange(20, 0, -1, dtype=np.float32)
    other = reference.copy()
    other[10:] = other[10:][::-1]
    assert relevance_loss(reference, other) == 0.0
    other[[9, 10]] = other[[10, 9]]  # ranks 10 and 11 of fp32: now the other one is below
    assert relevance_loss(reference, other) > 0.0


def test_tied_documents_share_their_discounts() -> None:
    """The expected value over both orders: half the loss of the swap."""
    reference = _logits(_LOG3, -_LOG3)
    swapped = relevance_loss(reference, _logits(1, 2))
    assert relevance_loss(reference, _logits(7, 7)) == pytest.approx(swapped / 2)


def test_a_tie_across_rank_ten_shares_the_rank() -> None:
    """Eleven equal documents: each is in the first ten with the chance 10/11."""
    reference = _logits(*([0.0] * 10), -800.0)  # ten gains of 0.5 and one of 0
    assert relevance_loss(reference, np.zeros(11, np.float32)) == pytest.approx(1 / 11)


def test_an_engine_that_ties_everything_fails() -> None:
    """One relevant document among 20: a constant score finds it by chance only."""
    reference = np.full(20, -8, np.float32)
    reference[4] = 4
    assert relevance_loss(reference, np.zeros(20, np.float32)) > 10 * MAX_WORST_LOSS


@given(logits=st.lists(st.floats(-12, 12, width=32), max_size=25), value=st.floats(-30, 30, width=32))
def test_equal_gains_lose_nothing(logits: list[float], value: float) -> None:
    """If fp32 ties all documents, no order is worse than another."""
    other = _logits(*logits)
    assert relevance_loss(np.full(len(other), value, np.float32), other) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("count", [0, 1])
def test_fewer_than_two_documents_lose_nothing(count: int) -> None:
    """There is one order only."""
    assert relevance_loss(np.zeros(count, np.float32), np.ones(count, np.float32)) == 0.0
    assert probability_moves(np.zeros(count, np.float32), np.zeros(count, np.float32)).shape == (count,)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_logits_that_are_not_finite_lose_everything(wrong: float) -> None:
    """A precision whose numbers overflow is never chosen, even if the wrong logit would be the last one."""
    ours, theirs = _logits(3, 2, 1), _logits(3, 2, wrong)
    assert relevance_loss(ours, theirs) == relevance_loss(theirs, ours) == 1.0
    assert probability_moves(ours, theirs).min() == probability_moves(theirs, ours).min() == 1.0


def test_saturated_probabilities_are_told_apart() -> None:
    """In float32, sigmoid(20) and sigmoid(30) are both 1, and so are the gains."""
    reference = _logits(18, 30)
    assert float(1 / (1 + np.exp(-reference[0]))) == 1.0
    assert 0 < relevance_loss(reference, _logits(2, 1)) < 1e-8


def test_gains_of_zero_lose_nothing() -> None:
    """Below -745 a probability is 0 in float64: no division by zero."""
    assert relevance_loss(_logits(-800, -900), _logits(1, 2)) == 0.0


@given(
    pairs=st.lists(st.tuples(st.floats(-9, 9, width=32), st.integers(0, 2**20)), min_size=1, max_size=25).filter(
        lambda pairs: len({other for _, other in pairs}) == len(pairs)
    )
)
def test_loss_without_ties_is_one_minus_ndcg(pairs: list[tuple[float, int]]) -> None:
    """The measure of `rerank eval`, with probabilities as grades."""
    reference, other = np.array(pairs, np.float32).T
    grades = 1 / (1 + np.exp(-reference.astype(np.float64)))
    seen = grades[np.argsort(-other)]
    expected = 1 - Measures().compute(list(seen), sorted(grades, reverse=True)).ndcg
    assert relevance_loss(reference, other) == pytest.approx(expected, abs=1e-12)


def test_moves_of_the_ten_best_documents() -> None:
    """The eleventh may move as far as it likes."""
    reference = np.arange(12, 0, -1, dtype=np.float32) - 6
    other = reference.copy()
    other[0] += 1
    other[10:] = -50
    moves = probability_moves(reference, other)
    assert moves[0] == pytest.approx(1 / (1 + math.exp(-7)) - 1 / (1 + math.exp(-6)))
    assert moves.shape == (10,)
    assert not moves[1:].any()


def test_a_probability_that_moves_too_far() -> None:
    """From 0.5 to 0.75 is five times the bound."""
    move = probability_moves(_logits(0), _logits(_LOG3))[0]
    assert move == pytest.approx(0.25)
    assert move > 4 * MAX_P99_MOVE
