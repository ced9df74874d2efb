"""Probabilities of models whose logits are not log odds."""

import numpy as np
import pytest

from rerank_service.models.tuning.gain_scale import MIN_SPREAD, GainScale
from rerank_service.models.tuning.ranking_change import BOUNDS, ranking_change

_LOGITS = np.array([4, 2, 1, 0, -2, -3], np.float32)
_REVERSED = _LOGITS[::-1].copy()


def test_log_odds_are_not_scaled() -> None:
    """Heads with a sigmoid, and those with two labels."""
    scale = GainScale.of([_LOGITS, _LOGITS - 1])
    assert scale == GainScale()
    assert scale.scaled(_LOGITS).tolist() == _LOGITS.tolist()


@pytest.mark.parametrize(
    ("factor", "offset"),
    [(0.05, 0.5), (1, 40), (1, -40), (0.002, 0), (1, 1000)],
    ids=["regression to grades", "offset above", "offset below", "untrained head", "offset far above"],
)
def test_a_reversed_ranking_is_noticed_on_every_scale(factor: float, offset: float) -> None:
    """Without a scale, all gains would be nearly equal, and no ranking could lose anything."""
    logits, other = (
        _LOGITS * np.float32(factor) + np.float32(offset),
        _REVERSED * np.float32(factor) + np.float32(offset),
    )
    assert (1 / (1 + np.exp(-logits.astype(np.float64)))).std() < MIN_SPREAD
    change = ranking_change([logits], [other])
    assert len(change.beyond()) == 4
    assert ranking_change([logits], [logits]).beyond() == ()


def test_scale_depends_on_all_queries() -> None:
    """A single query may have irrelevant documents only. Its small differences stay small."""
    irrelevant = np.array([-8, -8.1, -8.2], np.float32)
    assert GainScale.of([irrelevant]) != GainScale()
    change = ranking_change([_LOGITS, irrelevant], [_LOGITS, irrelevant[::-1].copy()])
    assert change.mean_move < BOUNDS.mean_move


@pytest.mark.parametrize("logits", [[], [2.0], [2.0, 2.0], [np.nan, 1.0], [np.inf, 1.0]], ids=str)
def test_logits_without_a_spread_are_not_scaled(logits: list[float]) -> None:
    """No division by zero."""
    assert GainScale.of([np.array(logits, np.float32)]) == GainScale()
    assert GainScale.of([]) == GainScale()
