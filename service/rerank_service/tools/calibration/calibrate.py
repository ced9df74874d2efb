"""From labels and their logits to a calibration, and what it is worth.

With grades, each counts as much as any other, however many labels it has: a score then says which grade a document
is likely to have, and not how common that grade was among those that happened to be labelled.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray

from rerank_service.errors import ExtraMissing
from rerank_service.ranking.calibration_curve import Calibration
from rerank_service.ranking.scores import Activation, ScoreType, relevance
from rerank_service.tools.calibration.fit import Method, Sample
from rerank_service.tools.calibration.labels_file import Labelled
from rerank_service.tools.calibration.method_choice import Choice, choose
from rerank_service.tools.calibration.quality import Quality, Values, quality


@dataclass(frozen=True, slots=True)
class Grade:
    """What became of the documents of one label."""

    label: int
    labels: int
    target: float
    """What the scale has for it."""
    before: float
    after: float
    """Mean scores; after on labels that were held out."""


@dataclass(frozen=True, slots=True)
class Calibrated:
    """A calibration with its evidence."""

    calibration: Calibration
    choice: Choice
    sample: Sample
    queries: int
    before: Quality
    """Of the model's own activation."""
    before_scores: Values
    grades: tuple[Grade, ...]

    @property
    def after(self) -> Quality:
        """On labels that were held out."""
        return self.choice.chosen.quality


def check_installed() -> None:
    """Raise ExtraMissing before any work is done, where that could not be finished."""
    for package, module in (("matplotlib", "matplotlib"), ("scikit-learn", "sklearn")):
        if find_spec(module) is None:
            raise ExtraMissing(package, "calibrate")


def calibrate(
    labelled: Sequence[Labelled],
    logits: Sequence[NDArray[np.float32]],
    *,
    graded: bool,
    activation: Activation,
    method: Method | None = None,
) -> Calibrated:
    """Fit, by a method or by the better one.

    Raises:
        CalibrationFailed: no calibration fits.
    """
    labels = np.concatenate([one.labels for one in labelled])
    flat = np.concatenate(logits)
    queries = np.repeat(np.arange(len(labelled)), [len(one.labels) for one in labelled])
    targets = (labels - labels.min()) / (labels.max() - labels.min())
    weights = _equal_grades(labels) if graded else np.ones(len(labels))
    sample = Sample(flat.astype(np.float64), targets, weights, queries)
    choice = choose(sample, method)
    before = relevance(flat, activation, ScoreType.SIGMOID)
    return Calibrated(
        Calibration(meaning="grade" if graded else "probability", curve=choice.curve),
        choice,
        sample,
        len(labelled),
        quality(before, targets, weights),
        before,
        tuple(_grade(label, labels, targets, before, choice.chosen.scores) for label in np.unique(labels)),
    )


def _equal_grades(labels: NDArray[np.int64]) -> Values:
    _, which, counts = np.unique(labels, return_inverse=True, return_counts=True)
    weights: Values = len(labels) / (len(counts) * counts[which])
    return weights


def _grade(label: int, labels: NDArray[np.int64], targets: Values, before: Values, after: Values) -> Grade:
    of_it = labels == label
    return Grade(
        int(label),
        int(of_it.sum()),
        float(targets[of_it][0]),
        float(before[of_it].mean()),
        float(after[of_it].mean()),
    )
