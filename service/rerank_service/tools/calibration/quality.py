"""PURE: how far scores are from what they say.

Squared error: the mean of (score - label)²; of probabilities and labels 0 and 1 that is the Brier score.
Calibration error: the labels in order of their scores are cut into 15 bins of equal mass; the mean of |mean score -
mean label| over the bins, by their mass (expected calibration error, with bins as in Nguyen and O'Connor, Posterior
calibration and exploratory analysis for natural language processing models, 2015). Labels of one score are averaged
first, so that the order in which they came says nothing.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BINS = 15

Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Bin:
    """Labels of like scores."""

    mass: float
    """Its share of all."""
    score: float
    label: float
    """Means."""


@dataclass(frozen=True, slots=True)
class Quality:
    """Of scores on labels."""

    squared_error: float
    calibration_error: float
    bins: tuple[Bin, ...]


def quality(scores: Values, targets: Values, weights: Values) -> Quality:
    """Of scores for labels from 0 to 1, all of shape (n,)."""
    cut = bins(scores, targets, weights)
    return Quality(
        squared_error=float(np.average((scores - targets) ** 2, weights=weights)),
        calibration_error=sum(one.mass * abs(one.score - one.label) for one in cut),
        bins=cut,
    )


def bins(scores: Values, targets: Values, weights: Values) -> tuple[Bin, ...]:
    """Of equal mass, in order of their scores. A label lies in the bin where the middle of its own mass does."""
    order = np.argsort(scores, kind="stable")
    scores, weights = scores[order], weights[order] / weights.sum()
    targets = _averaged_where_tied(scores, targets[order], weights)
    middle = np.cumsum(weights) - weights / 2
    which = np.minimum((middle * BINS).astype(int), BINS - 1)
    mass = np.bincount(which, weights, BINS)
    score = np.bincount(which, weights * scores, BINS)
    target = np.bincount(which, weights * targets, BINS)
    return tuple(
        Bin(float(mass[at]), float(score[at] / mass[at]), float(target[at] / mass[at])) for at in np.flatnonzero(mass)
    )


def _averaged_where_tied(scores: Values, targets: Values, weights: Values) -> Values:
    _, group = np.unique(scores, return_inverse=True)
    means: Values = np.bincount(group, weights * targets) / np.bincount(group, weights)
    return means[group]
