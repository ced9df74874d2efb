"""Calibration curves: they turn the logits of a calibrated bundle into relevance scores.

No curve reverses the order of two logits.
"""

from itertools import pairwise
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, model_validator

from rerank_service.quantities import counted

Scores = NDArray[np.float64]


def sigmoid(logits: Scores) -> Scores:
    """Return 1 / (1 + exp(-logit)) of each logit, in float64, so that few logits share a probability."""
    with np.errstate(over="ignore"):  # exp(800) is inf, and 1 / (1 + inf) is 0, which is correct
        return 1.0 / (1.0 + np.exp(-logits))


class Platt(BaseModel):
    """A sigmoid with a slope and an intercept (Platt, Probabilistic outputs for support vector machines, 1999)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: Literal["platt"] = "platt"
    slope: FiniteFloat = Field(gt=0)
    intercept: FiniteFloat

    def scores(self, logits: Scores) -> Scores:
        """Return the score of each logit, between 0 and 1. Very large logits reach 0 or 1 by rounding."""
        return sigmoid(self.slope * logits + self.intercept)


class Isotonic(BaseModel):
    """Straight lines between knots, constant before the first knot and after the last."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: Literal["isotonic"] = "isotonic"
    logits: tuple[FiniteFloat, ...] = Field(min_length=2)
    """Logit of each knot, strictly ascending."""
    values: tuple[Annotated[float, Field(ge=0, le=1)], ...]
    """Score of each knot, never lower than the score before."""

    @model_validator(mode="after")
    def _check_order(self) -> "Isotonic":
        if len(self.logits) != len(self.values):
            raise ValueError(
                f"isotonic: {counted(len(self.logits), 'logit')} and {counted(len(self.values), 'value')}; "
                "their numbers must be equal"
            )
        if any(left >= right for left, right in pairwise(self.logits)):
            raise ValueError("isotonic: logits must be strictly ascending")
        if any(left > right for left, right in pairwise(self.values)):
            raise ValueError("isotonic: values must not descend")
        return self

    def scores(self, logits: Scores) -> Scores:
        """Return the score of each logit, in [0, 1]. Between two knots it never exceeds the value of the right one,
        unlike np.interp, which can exceed it by a rounding error and so reverse an order."""
        x, y = np.array(self.logits), np.array(self.values)
        inside = np.clip(logits, x[0], x[-1])
        left = np.minimum(np.searchsorted(x, inside, side="right") - 1, len(x) - 2)
        share = (inside - x[left]) / (x[left + 1] - x[left])
        between = np.minimum(y[left] + share * (y[left + 1] - y[left]), y[left + 1])
        scores: Scores = np.where(inside < x[-1], between, y[-1])  # y0 + (y1 - y0) can be less than y1 by a rounding
        return scores


Curve = Annotated[Platt | Isotonic, Field(discriminator="method")]


class Calibration(BaseModel):
    """The calibration in a manifest: the curve from logits to scores, and the meaning of the scores."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    meaning: Literal["probability", "grade"]
    """`probability`: that the document is relevant. `grade`: the expected grade, on an even scale from 0 (the lowest)
    to 1 (the highest)."""
    curve: Curve

    def scores(self, logits: Scores) -> Scores:
        """Return the score of each logit, in [0, 1] and in the order of the logits."""
        return self.curve.scores(logits)

    def __str__(self) -> str:
        """Return method and meaning, such as `isotonic, probability`."""
        return f"{self.curve.method}, {self.meaning}"
