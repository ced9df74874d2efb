"""From logits to relevance scores, and the order of documents by them. Pure functions."""

from enum import Enum

import numpy as np
from numpy.typing import NDArray

from rerank_service.errors import InvalidRequest
from rerank_service.ranking.calibration_curve import Calibration, sigmoid


class ScoreType(Enum):
    """What relevance_score holds."""

    PROBABILITY = "probability"
    """What the bundle says: calibrated where it is, else as SIGMOID."""
    RAW = "raw"
    """The logit."""
    SIGMOID = "sigmoid"
    """The model's own activation, whether or not the bundle is calibrated."""
    CALIBRATED = "calibrated"
    """By the bundle's calibration; there must be one."""


class Activation(Enum):
    """How a logit becomes a probability."""

    SIGMOID = "sigmoid"
    IDENTITY = "identity"
    """It does not: the model's output is the score, a probability already or not meant to be one."""


def relevance(
    logits: NDArray[np.float32],
    activation: Activation,
    score_type: ScoreType,
    calibration: Calibration | None = None,
) -> NDArray[np.float64]:
    """relevance_score of each logit, in the order of the logits.

    Raises:
        InvalidRequest: calibrated scores are asked for, and there is no calibration.
    """
    wide = logits.astype(np.float64)
    if score_type is ScoreType.RAW:
        return wide
    if calibration is not None and score_type is not ScoreType.SIGMOID:
        return calibration.scores(wide)
    if score_type is ScoreType.CALIBRATED:
        raise InvalidRequest(
            "score_type is calibrated, and this model is not: leave it out, or calibrate the bundle (rerank calibrate)",
            field="score_type",
            reason="not_calibrated",
        )
    return wide if activation is Activation.IDENTITY else sigmoid(wide)


def rank(
    logits: NDArray[np.float32],
    scores: NDArray[np.float64],
    *,
    top_n: int | None = None,
    min_score: float | None = None,
) -> NDArray[np.int64]:
    """Indexes in order of relevance: by logit descending, ties by ascending index; min_score before top_n."""
    order = np.argsort(-logits, kind="stable")
    if min_score is not None:
        order = order[scores[order] >= min_score]
    return order[:top_n]
