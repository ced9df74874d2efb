"""Fit calibration curves to labels with scikit-learn. Needs the extra `calibrate`.

- Platt scaling: Platt, Probabilistic outputs for support vector machines, 1999.
- Isotonic regression: Zadrozny and Elkan, Transforming classifier scores into accurate multiclass probability
  estimates, 2002. Centred: Oron and Flournoy, Centered isotonic regression: point and interval estimation for
  dose-response studies, 2017.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from rerank_service.errors import CalibrationFailed
from rerank_service.ranking.calibration_curve import Isotonic, Platt
from rerank_service.tools.calibration.quality import Values

Method = Literal["platt", "isotonic"]

_NO_RELATION = (
    "--labels: a higher logit does not mean more relevance in this file, or in one fold of it; check that 1 stands for "
    "relevant, or add labels"
)


@dataclass(frozen=True, slots=True)
class LabelSample:
    """The labels that a curve is fitted to; each array has the shape (n,)."""

    logits: Values
    targets: Values
    """Target scores from 0 to 1."""
    weights: Values
    queries: NDArray[np.int64]
    """Number of the query that each label belongs to."""

    def __len__(self) -> int:
        return len(self.logits)

    def at(self, positions: NDArray[np.int64]) -> "LabelSample":
        """Return the labels at these positions."""
        return LabelSample(
            self.logits[positions], self.targets[positions], self.weights[positions], self.queries[positions]
        )

    @property
    def score_bounds(self) -> tuple[float, float]:
        """Smallest and largest target of the fit, and ends of an isotonic curve. Few labels never prove certainty, so
        the bounds are Platt's targets: they add one label of each kind."""
        lowest, highest = np.count_nonzero(self.targets == 0), np.count_nonzero(self.targets == 1)
        return 1 / (lowest + 2), (highest + 1) / (highest + 2)


def fit(method: Method, sample: LabelSample) -> Platt | Isotonic:
    """Fit a curve by a method.

    Raises:
        CalibrationFailed: a higher logit does not mean more relevance in the labels.
    """
    platt = _fit_platt(sample)  # also checks the labels for the isotonic curve
    return platt if method == "platt" else _fit_isotonic(sample)


def _fit_platt(sample: LabelSample) -> Platt:
    """Fit a logistic regression on the logit. A target between 0 and 1 counts in part as relevant and in part as not
    relevant."""
    from sklearn.linear_model import LogisticRegression

    middle, spread = float(sample.logits.mean()), float(sample.logits.std())
    if not spread:
        raise CalibrationFailed(_NO_RELATION)
    low, high = sample.score_bounds
    targets = low + sample.targets * (high - low)
    standard = (sample.logits - middle) / spread  # the solver sees the same range for every model
    regression = LogisticRegression(C=np.inf, solver="newton-cholesky", tol=1e-10, max_iter=1000)
    regression.fit(
        np.concatenate([standard, standard])[:, None],
        np.repeat([1, 0], len(sample)),
        sample_weight=np.concatenate([sample.weights * targets, sample.weights * (1 - targets)]),
    )
    slope = float(regression.coef_[0, 0]) / spread
    if not slope > 0:
        raise CalibrationFailed(_NO_RELATION)
    return Platt(slope=slope, intercept=float(regression.intercept_[0]) - slope * middle)


def _fit_isotonic(sample: LabelSample) -> Isotonic:
    """Fit a centred isotonic curve: a knot at the mean logit of each block of equal values, so that no part between two
    knots is flat. Documents with different logits then have different scores."""
    from sklearn.isotonic import IsotonicRegression

    low, high = sample.score_bounds
    regression = IsotonicRegression(y_min=low, y_max=high)
    fitted = regression.fit_transform(sample.logits, sample.targets, sample_weight=sample.weights)
    values, block = np.unique(fitted, return_inverse=True)
    if len(values) == 1:
        raise CalibrationFailed(_NO_RELATION)
    centres = np.bincount(block, sample.weights * sample.logits) / np.bincount(block, sample.weights)
    return Isotonic(logits=tuple(centres.tolist()), values=tuple(values.tolist()))
