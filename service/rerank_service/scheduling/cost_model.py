"""How long batches take on this machine, learned as they run."""

import numpy as np
from numpy.typing import NDArray

_FORGET = 0.995
"""What a batch's weight is worth when the next one comes: some hundred batches are remembered."""
_UNSURE = 1e3
"""Variance of what is not known yet."""
_TICK = 1e-5
"""Seconds; no batch takes less."""


class CostModel:
    """Seconds of a batch as a + b * tokens + c * rows * length^2: starting it, its products with weights, its
    attention. Fitted by recursive least squares with forgetting (Haykin, Adaptive Filter Theory, chapter 10)."""

    def __init__(self, weights: tuple[float, float, float] = (0.0, 0.25, 0.0)) -> None:
        """`weights`, as another model's `weights`, are believed until batches have run: here 4,000 tokens a second."""
        self._weights = np.array(weights)
        self._variance = np.diag([_UNSURE, _UNSURE, _UNSURE])

    @property
    def weights(self) -> tuple[float, float, float]:
        """Seconds of a batch, of a thousand tokens, of a million pairs of tokens."""
        a, b, c = map(float, self._weights)
        return a, b, c

    def observe(self, rows: int, length: int, seconds: float) -> None:
        """Learn from a batch that ran. What counts is the relative error, so that small batches are learned too."""
        features = _features(rows, length) / max(seconds, _TICK)
        gain = self._variance @ features / (_FORGET + features @ self._variance @ features)
        self._weights = self._weights + gain * (1.0 - features @ self._weights)
        variance = (self._variance - np.outer(gain, features @ self._variance)) / _FORGET
        # batches of one shape teach nothing of others, and forgetting alone would let the doubt grow without end
        self._variance = (variance + variance.T) / 2 * min(1.0, 3 * _UNSURE / np.trace(variance))

    def seconds(self, rows: int, length: int) -> float:
        """What a batch will take; never less than a tenth of what its tokens alone would."""
        features = _features(rows, length)
        floor = 0.1 * features[1] * max(float(self._weights[1]), 1e-6)
        return float(max(features @ self._weights, floor))


def _features(rows: int, length: int) -> NDArray[np.float64]:
    """1, thousands of tokens, millions of token pairs: of like size, so that the fit is well conditioned."""
    return np.array([1.0, rows * length / 1e3, rows * length * length / 1e6])
