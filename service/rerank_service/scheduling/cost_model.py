"""Estimate how long a batch takes on this machine, from the batches that ran."""

import numpy as np
from numpy.typing import NDArray

_FORGETTING = 0.995
"""Factor by which the influence of a batch shrinks with each later batch: the last few hundred batches count."""
_INITIAL_VARIANCE = 1e3
"""Variance of weights that no batch has shown yet."""
_MIN_SECONDS = 1e-5
"""Minimum duration of a batch."""


class CostModel:
    """Seconds of a batch as a + b * tokens + c * rows * length².

    The terms are the start of the batch, its products with weights, and its attention. The weights are fitted by
    recursive least squares with forgetting (Haykin, Adaptive Filter Theory, chapter 10).
    """

    def __init__(self, weights: tuple[float, float, float] = (0.0, 0.25, 0.0)) -> None:
        """`weights` is the estimate until batches have run, in the form of the property `weights`. The default means
        4,000 tokens per second."""
        self._weights = np.array(weights)
        self._variance = np.diag([_INITIAL_VARIANCE] * 3)

    @property
    def weights(self) -> tuple[float, float, float]:
        """Seconds for the start of a batch, for 1,000 tokens, and for 1,000,000 pairs of tokens."""
        start, tokens, attention = map(float, self._weights)
        return start, tokens, attention

    def observe(self, rows: int, length: int, seconds: float) -> None:
        """Learn from a batch that ran. The relative error counts, so small batches are learned too."""
        features = _features(rows, length) / max(seconds, _MIN_SECONDS)
        gain = self._variance @ features / (_FORGETTING + features @ self._variance @ features)
        self._weights = self._weights + gain * (1.0 - features @ self._weights)
        variance = (self._variance - np.outer(gain, features @ self._variance)) / _FORGETTING
        # batches of one shape say nothing about others, and forgetting alone would raise the variance without bound
        self._variance = (variance + variance.T) / 2 * min(1.0, 3 * _INITIAL_VARIANCE / np.trace(variance))

    def seconds(self, rows: int, length: int) -> float:
        """Return the expected seconds of a batch; at least a tenth of the time for its tokens alone."""
        features = _features(rows, length)
        minimum = 0.1 * features[1] * max(float(self._weights[1]), 1e-6)
        return float(max(features @ self._weights, minimum))

    def rows_within(self, seconds: float, length: int) -> int:
        """Return the maximum number of rows of this length in a batch of that many seconds, or of twice the start of a
        batch if that is longer; at least 1. With shorter batches, lanes would spend most of their time on starts."""
        start = max(0.0, float(self._weights[0]))
        return max(1, int(max(seconds - start, start) / max(self.seconds(1, length) - start, _MIN_SECONDS)))


def _features(rows: int, length: int) -> NDArray[np.float64]:
    """Return 1, thousands of tokens, and millions of token pairs. Their sizes are similar, which keeps the fit well
    conditioned."""
    return np.array([1.0, rows * length / 1e3, rows * length * length / 1e6])
