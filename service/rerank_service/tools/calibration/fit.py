"""Curves fitted to labels, by scikit-learn. Needs the extra `calibrate`."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from rerank_service.errors import CalibrationFailed
from rerank_service.ranking.calibration_curve import Isotonic, Platt
from rerank_service.tools.calibration.quality import Values

Method = Literal["platt", "isotonic"]

_TELLS_NOTHING = (
    "in these labels, or in a part of them, a higher logit does not mean more relevance: are they the right way round "
    "(1 for relevant), and enough?"
)


@dataclass(frozen=True, slots=True)
class Sample:
    """What a curve is fitted to; arrays of shape (n,)."""

    logits: Values
    targets: Values
    """From 0 to 1."""
    weights: Values
    queries: NDArray[np.int64]
    """Which query each is of."""

    def __len__(self) -> int:
        return len(self.logits)

    def at(self, positions: NDArray[np.int64]) -> "Sample":
        """A part of it."""
        return Sample(self.logits[positions], self.targets[positions], self.weights[positions], self.queries[positions])

    @property
    def ends(self) -> tuple[float, float]:
        """What a score may be at least and at most: so few labels never show that something is certain. Platt's
        targets: one more label of each kind than there were."""
        lowest, highest = np.count_nonzero(self.targets == 0), np.count_nonzero(self.targets == 1)
        return 1 / (lowest + 2), (highest + 1) / (highest + 2)


def fit(method: Method, sample: Sample) -> Platt | Isotonic:
    """A curve of a method.

    Raises:
        CalibrationFailed: in these labels a higher logit does not mean more relevance.
    """
    line = _platt(sample)
    return line if method == "platt" else _isotonic(sample)


def _platt(sample: Sample) -> Platt:
    """Logistic regression on the logit, a label between 0 and 1 counting as a part of each."""
    from sklearn.linear_model import LogisticRegression

    middle, spread = float(sample.logits.mean()), float(sample.logits.std())
    if not spread:
        raise CalibrationFailed(_TELLS_NOTHING)
    low, high = sample.ends
    targets = low + sample.targets * (high - low)
    standard = (sample.logits - middle) / spread  # whatever a model's logits are like, the solver sees the same
    regression = LogisticRegression(C=np.inf, solver="newton-cholesky", tol=1e-10, max_iter=1000)
    regression.fit(
        np.concatenate([standard, standard])[:, None],
        np.repeat([1, 0], len(sample)),
        sample_weight=np.concatenate([sample.weights * targets, sample.weights * (1 - targets)]),
    )
    slope = float(regression.coef_[0, 0]) / spread
    if not slope > 0:
        raise CalibrationFailed(_TELLS_NOTHING)
    return Platt(slope=slope, intercept=float(regression.intercept_[0]) - slope * middle)


def _isotonic(sample: Sample) -> Isotonic:
    from sklearn.isotonic import IsotonicRegression

    low, high = sample.ends
    regression = IsotonicRegression(y_min=low, y_max=high)
    regression.fit(sample.logits, sample.targets, sample_weight=sample.weights)
    return Isotonic(
        logits=tuple(regression.X_thresholds_.tolist()),
        values=tuple(np.maximum.accumulate(regression.y_thresholds_).tolist()),
    )
