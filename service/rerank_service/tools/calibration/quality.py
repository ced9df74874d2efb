"""Quality of calibrated scores: squared error and expected calibration error. Pure functions.

- Squared error: the mean of (score - label)². For probabilities and labels 0 and 1 this is the Brier score.
- Expected calibration error: labels are sorted by score and cut into 15 bins of equal mass. The error is the mean of
  |mean score - mean label| over the bins, weighted by mass (Nguyen and O'Connor, Posterior calibration and exploratory
  analysis for natural language processing models, 2015). Labels with equal scores are averaged first, so that their
  order has no effect.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BINS = 15

Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Bin:
    """Labels with similar scores."""

    mass: float
    """Share of the total weight."""
    score: float
    """Mean score."""
    label: float
    """Mean label."""


@dataclass(frozen=True, slots=True)
class Quality:
    """Errors of scores on labels."""

    squared_error: float
    calibration_error: float
    bins: tuple[Bin, ...]


def measure_quality(scores: Values, targets: Values, weights: Values) -> Quality:
    """Return the errors of scores for target scores from 0 to 1; each array has the shape (n,)."""
    bins = equal_mass_bins(scores, targets, weights)
    return Quality(
        squared_error=float(np.average((scores - targets) ** 2, weights=weights)),
        calibration_error=sum(part.mass * abs(part.score - part.label) for part in bins),
        bins=bins,
    )


def equal_mass_bins(scores: Values, targets: Values, weights: Values) -> tuple[Bin, ...]:
    """Return bins of equal mass, in order of score. A label belongs to the bin that contains the middle of its mass."""
    order = np.argsort(scores, kind="stable")
    scores, weights = scores[order], weights[order] / weights.sum()
    targets = _averaged_over_ties(scores, targets[order], weights)
    middle = np.cumsum(weights) - weights / 2
    number = np.minimum((middle * BINS).astype(int), BINS - 1)
    mass = np.bincount(number, weights, BINS)
    score = np.bincount(number, weights * scores, BINS)
    target = np.bincount(number, weights * targets, BINS)
    return tuple(
        Bin(float(mass[at]), float(score[at] / mass[at]), float(target[at] / mass[at])) for at in np.flatnonzero(mass)
    )


def _averaged_over_ties(scores: Values, targets: Values, weights: Values) -> Values:
    _, group = np.unique(scores, return_inverse=True)
    means: Values = np.bincount(group, weights * targets) / np.bincount(group, weights)
    return means[group]
