"""Relevance scores of logits, and the order of results. Pure functions."""

from enum import Enum

import numpy as np
from numpy.typing import NDArray

from rerank_service.errors import InvalidRequest
from rerank_service.ranking.calibration_curve import Calibration, sigmoid


class ScoreType(Enum):
    """The meaning of `relevance_score`."""

    PROBABILITY = "probability"
    """CALIBRATED if the bundle has a calibration, else SIGMOID."""
    RAW = "raw"
    """The logit."""
    SIGMOID = "sigmoid"
    """The model's own activation of the logit, even if the bundle has a calibration."""
    CALIBRATED = "calibrated"
    """The bundle's calibration of the logit. An error if the bundle has none."""


class Activation(Enum):
    """The function of the model that turns a logit into a score."""

    SIGMOID = "sigmoid"
    IDENTITY = "identity"
    """The logit is the score: the model returns probabilities, or its logits are not meant to be probabilities."""


def score_meaning(activation: Activation, score_type: ScoreType, calibration: Calibration | None) -> ScoreType:
    """Return the meaning of the scores that `relevance` returns for the same arguments: raw, sigmoid or calibrated.

    A model without an activation returns logits for `probability` and `sigmoid`, too.

    Raises:
        InvalidRequest: `score_type` is calibrated, and there is no calibration.
    """
    if score_type is ScoreType.RAW:
        return ScoreType.RAW
    if calibration is not None and score_type is not ScoreType.SIGMOID:
        return ScoreType.CALIBRATED
    if score_type is ScoreType.CALIBRATED:
        raise InvalidRequest(
            "score_type is calibrated, but this model has no calibration: leave score_type out, or calibrate the "
            "bundle (rerank calibrate)",
            field="score_type",
            reason="not_calibrated",
        )
    return ScoreType.RAW if activation is Activation.IDENTITY else ScoreType.SIGMOID


def relevance(
    logits: NDArray[np.float32],
    activation: Activation,
    score_type: ScoreType,
    calibration: Calibration | None = None,
) -> NDArray[np.float64]:
    """Return the relevance score of each logit; both arrays have shape (documents,). The order of scores is the order
    of logits.

    Raises:
        InvalidRequest: `score_type` is calibrated, and there is no calibration.
    """
    wide = logits.astype(np.float64)
    meaning = score_meaning(activation, score_type, calibration)
    if meaning is ScoreType.RAW:
        return wide
    if meaning is ScoreType.SIGMOID:
        return sigmoid(wide)
    assert calibration is not None
    return calibration.scores(wide)


def rank(
    logits: NDArray[np.float32], *, top_n: int | None = None, kept: NDArray[np.bool_] | None = None
) -> NDArray[np.int64]:
    """Return the indexes of the results: logits descending, equal logits by ascending index.

    `kept` has shape (documents,) and says which documents are results, before `top_n` counts them. None: all.
    """
    order = np.argsort(-logits, kind="stable")
    if kept is not None:
        order = order[kept[order]]
    return order[:top_n]
