"""Fit a calibration to labels and their logits, and measure it.

With grades, every grade has the same total weight, however many labels it has. A score then shows the likely grade of
a document, and not how common the grade was in the labelled sample.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rerank_service.ranking.calibration_curve import Calibration
from rerank_service.ranking.scores import Activation, ScoreType, relevance
from rerank_service.tools.calibration.fit import LabelSample, Method
from rerank_service.tools.calibration.labels_file import LabelledQuery
from rerank_service.tools.calibration.method_choice import MethodChoice, choose_method
from rerank_service.tools.calibration.quality import Quality, Values, measure_quality


@dataclass(frozen=True, slots=True, kw_only=True)
class GradeScores:
    """Mean scores of the documents with one label."""

    label: int
    labels: int
    """Number of documents."""
    target: float
    """Target score of the label, from 0 to 1."""
    before: float
    """Mean score before calibration."""
    after: float
    """Mean score after calibration, on held-out labels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationResult:
    """A calibration with the measurements that support it."""

    calibration: Calibration
    choice: MethodChoice
    sample: LabelSample
    queries: int
    """Number of queries in the sample."""
    before: Quality
    """Quality of the model's own activation."""
    before_scores: Values
    """Scores of the model's own activation, shape (n,)."""
    grades: tuple[GradeScores, ...]

    @property
    def after(self) -> Quality:
        """Quality of the chosen method on held-out labels."""
        return self.choice.chosen.quality


def calibrate(
    labelled: Sequence[LabelledQuery],
    logits: Sequence[NDArray[np.float32]],
    *,
    graded: bool,
    activation: Activation,
    method: Method | None = None,
) -> CalibrationResult:
    """Fit a curve by the given method, or by the better one.

    `logits` has one array of shape (documents,) per query. `activation` is the model's own, for comparison.

    Raises:
        CalibrationFailed: the labels do not support a curve.
    """
    labels = np.concatenate([query.labels for query in labelled])
    flat = np.concatenate(logits)
    queries = np.repeat(np.arange(len(labelled)), [len(query.labels) for query in labelled])
    targets = (labels - labels.min()) / (labels.max() - labels.min())
    weights = _equal_weight_per_grade(labels) if graded else np.ones(len(labels))
    sample = LabelSample(flat.astype(np.float64), targets, weights, queries)
    choice = choose_method(sample, method)
    before = relevance(flat, activation, ScoreType.SIGMOID)
    after = choice.chosen.scores
    return CalibrationResult(
        calibration=Calibration(meaning="grade" if graded else "probability", curve=choice.curve),
        choice=choice,
        sample=sample,
        queries=len(labelled),
        before=measure_quality(before, targets, weights),
        before_scores=before,
        grades=tuple(_grade_scores(label, labels, targets, before, after) for label in np.unique(labels)),
    )


def _equal_weight_per_grade(labels: NDArray[np.int64]) -> Values:
    _, grade, counts = np.unique(labels, return_inverse=True, return_counts=True)
    weights: Values = len(labels) / (len(counts) * counts[grade])
    return weights


def _grade_scores(label: int, labels: NDArray[np.int64], targets: Values, before: Values, after: Values) -> GradeScores:
    has_label = labels == label
    return GradeScores(
        label=int(label),
        labels=int(has_label.sum()),
        target=float(targets[has_label][0]),
        before=float(before[has_label].mean()),
        after=float(after[has_label].mean()),
    )
