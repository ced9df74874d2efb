"""Choose the method of a calibration: the smallest squared error on held-out labels (cross-validation)."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from rerank_service.ranking.calibration_curve import Isotonic, Platt
from rerank_service.tools.calibration.fit import LabelSample, Method, fit
from rerank_service.tools.calibration.quality import Quality, Values, measure_quality

FOLDS = 5
"""Number of folds of the cross-validation."""
MIN_LABELS_FOR_ISOTONIC = 1000
"""With fewer labels, isotonic regression overfits (scikit-learn's user guide, "Probability calibration")."""


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Scores of a method on labels that it was not fitted to."""

    method: Method
    scores: Values
    """Shape (n,), in the order of the sample."""
    quality: Quality


@dataclass(frozen=True, slots=True)
class MethodChoice:
    """The curve of the chosen method, fitted to all labels, and the measurements of all methods."""

    curve: Platt | Isotonic
    held_out: Mapping[Method, HeldOut]

    @property
    def chosen(self) -> HeldOut:
        """Measurement of the chosen method."""
        return self.held_out[self.curve.method]


def choose_method(sample: LabelSample, method: Method | None) -> MethodChoice:
    """Return the best method that there are enough labels for, or `method` if it is given.

    Raises:
        CalibrationFailed: the labels do not support a curve.
    """
    if method is not None:
        methods: list[Method] = [method]
    else:
        methods = ["platt", "isotonic"] if len(sample) >= MIN_LABELS_FOR_ISOTONIC else ["platt"]
    held_out = {candidate: _cross_validate(candidate, sample) for candidate in methods}
    best = min(methods, key=lambda candidate: held_out[candidate].quality.squared_error)
    return MethodChoice(fit(best, sample), held_out)


def _cross_validate(method: Method, sample: LabelSample) -> HeldOut:
    scores = np.empty(len(sample))
    for train, test in _folds(sample):
        scores[test] = fit(method, sample.at(train)).scores(sample.logits[test])
    return HeldOut(method, scores, measure_quality(scores, sample.targets, sample.weights))


def _folds(sample: LabelSample) -> "list[tuple[np.ndarray, np.ndarray]]":
    """Return the positions to fit and to hold out, per fold.

    The documents of a query are in one fold, because their scores depend on each other.
    """
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    _, kinds = np.unique(sample.targets, return_inverse=True)
    if len(np.unique(sample.queries)) < FOLDS:
        return list(StratifiedKFold(FOLDS, shuffle=True, random_state=0).split(sample.logits, kinds))
    splitter = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=0)
    return list(splitter.split(sample.logits, kinds, sample.queries))
