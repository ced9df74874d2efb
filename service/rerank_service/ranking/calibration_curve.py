"""What a calibrated bundle makes of a logit. No curve ever turns the order of two logits around."""

from itertools import pairwise
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, model_validator

from rerank_service.quantities import counted

Scores = NDArray[np.float64]


def sigmoid(logits: Scores) -> Scores:
    """In float64, so that few logits share a probability."""
    with np.errstate(over="ignore"):  # exp(800) is inf, and 1 / (1 + inf) the 0 that is meant
        return 1.0 / (1.0 + np.exp(-logits))


class Platt(BaseModel):
    """A sigmoid that was moved and stretched (Platt, Probabilistic outputs for support vector machines, 1999)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: Literal["platt"] = "platt"
    slope: FiniteFloat = Field(gt=0)
    intercept: FiniteFloat

    def scores(self, logits: Scores) -> Scores:
        """Of each logit, in (0, 1) but for float64's ends."""
        return sigmoid(self.slope * logits + self.intercept)


class Isotonic(BaseModel):
    """Straight lines between knots, level before the first and behind the last."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: Literal["isotonic"] = "isotonic"
    logits: tuple[FiniteFloat, ...] = Field(min_length=2)
    """Ascending, each once."""
    values: tuple[Annotated[float, Field(ge=0, le=1)], ...]
    """The score at each, never lower than at the one before."""

    @model_validator(mode="after")
    def _never_falls(self) -> "Isotonic":
        if len(self.logits) != len(self.values):
            raise ValueError(f"{counted(len(self.logits), 'logit')} and {counted(len(self.values), 'value')}")
        if any(one >= other for one, other in pairwise(self.logits)):
            raise ValueError("logits do not ascend")
        if any(one > other for one, other in pairwise(self.values)):
            raise ValueError("values fall")
        return self

    def scores(self, logits: Scores) -> Scores:
        """Of each logit. np.interp can pass a knot's value by a rounding before it gets there, and so fall; this
        cannot."""
        x, y = np.array(self.logits), np.array(self.values)
        inside = np.clip(logits, x[0], x[-1])
        left = np.minimum(np.searchsorted(x, inside, side="right") - 1, len(x) - 2)
        share = (inside - x[left]) / (x[left + 1] - x[left])
        between = np.minimum(y[left] + share * (y[left + 1] - y[left]), y[left + 1])
        scores: Scores = np.where(inside < x[-1], between, y[-1])  # y0 + (y1 - y0) can be less than y1 by a rounding
        return scores


Curve = Annotated[Platt | Isotonic, Field(discriminator="method")]


class Calibration(BaseModel):
    """Part of a manifest: how its logits become scores, and what those say."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    meaning: Literal["probability", "grade"]
    """That a document is relevant; or its grade, on an even scale from 0 (the lowest) to 1 (the highest)."""
    curve: Curve

    def scores(self, logits: Scores) -> Scores:
        """In [0, 1], in the order of the logits."""
        return self.curve.scores(logits)

    def __str__(self) -> str:
        """For people."""
        return f"{self.curve.method}, {self.meaning}"
