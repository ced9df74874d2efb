"""Which curve: the one with the least squared error on labels that it was not fitted to."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from rerank_service.ranking.calibration_curve import Isotonic, Platt
from rerank_service.tools.calibration.fit import Method, Sample, fit
from rerank_service.tools.calibration.quality import Quality, Values, quality

FOLDS = 5
ENOUGH_FOR_ISOTONIC = 1000
"""Labels. With fewer it follows the noise (scikit-learn's guide on probability calibration)."""


@dataclass(frozen=True, slots=True)
class Tried:
    """A method, and how good its scores are on labels that were held out."""

    method: Method
    scores: Values
    quality: Quality


@dataclass(frozen=True, slots=True)
class Choice:
    """The curve, fitted to all labels."""

    curve: Platt | Isotonic
    tried: Mapping[Method, Tried]

    @property
    def chosen(self) -> Tried:
        """What was held out for the curve's method."""
        return self.tried[self.curve.method]


def choose(sample: Sample, method: Method | None) -> Choice:
    """The best of those that there are labels for, or what `method` says.

    Raises:
        CalibrationFailed: there is none.
    """
    if method is not None:
        methods: list[Method] = [method]
    else:
        methods = ["platt", "isotonic"] if len(sample) >= ENOUGH_FOR_ISOTONIC else ["platt"]
    tried = {one: _held_out(one, sample) for one in methods}
    best = min(methods, key=lambda one: tried[one].quality.squared_error)
    return Choice(fit(best, sample), tried)


def _held_out(method: Method, sample: Sample) -> Tried:
    scores = np.empty(len(sample))
    for train, test in _folds(sample):
        scores[test] = fit(method, sample.at(train)).scores(sample.logits[test])
    return Tried(method, scores, quality(scores, sample.targets, sample.weights))


def _folds(sample: Sample) -> "list[tuple[np.ndarray, np.ndarray]]":
    """Positions to fit and to hold out; the documents of a query are in one fold, since their scores are alike."""
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    _, kinds = np.unique(sample.targets, return_inverse=True)
    if len(np.unique(sample.queries)) < FOLDS:
        return list(StratifiedKFold(FOLDS, shuffle=True, random_state=0).split(sample.logits, kinds))
    splitter = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=0)
    return list(splitter.split(sample.logits, kinds, sample.queries))
