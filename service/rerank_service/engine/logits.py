"""Turn the output of a graph into one logit per pair. Pure functions."""

import sys
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray

_TINY = float(np.finfo(np.float32).tiny)


class GraphActivation(Enum):
    """The activation that a graph applies to its logits itself."""

    SIGMOID = "sigmoid"
    LOG_SIGMOID = "log_sigmoid"
    SOFTMAX = "softmax"
    LOG_SOFTMAX = "log_softmax"


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputForm:
    """The form of a graph's output."""

    difference: tuple[int, int] | None = None
    """For a graph with two values per pair: the positions of the relevant label and of the other one. The logit of the
    pair is the difference of their logits. None: one value per pair."""
    activation: GraphActivation | None = None
    """The activation that the graph applies, and that is inverted. None: the graph returns logits."""

    @property
    def values_per_pair(self) -> int:
        """Number of values that the graph returns for a pair."""
        return 1 if self.difference is None else 2

    def logits(self, output: NDArray[Any]) -> NDArray[np.float32]:
        """Return the logits, float32 of shape (rows,), of an output of shape (rows, values per pair).

        A probability that was rounded to 0 or 1 gets a finite logit beyond those of all others.
        """
        inverted: NDArray[Any] = output if self.activation is None else self._inverted(output)
        columns: NDArray[np.float32] = inverted.astype(np.float32, copy=False)
        if self.difference is None:
            return columns[:, 0]
        relevant, other = self.difference
        difference: NDArray[np.float32] = columns[:, relevant] - columns[:, other]
        return difference

    def _inverted(self, output: NDArray[Any]) -> NDArray[np.float64]:
        """Return the logits of probabilities. With two labels, those of a softmax are known up to a constant."""
        logarithms = output.astype(np.float64)
        if self.activation in (GraphActivation.SIGMOID, GraphActivation.SOFTMAX):
            numbers = np.finfo(output.dtype if output.dtype.kind == "f" else np.float32)
            least = max(float(numbers.smallest_subnormal) / 2, sys.float_info.min)
            logarithms = np.log(logarithms.clip(least, 1.0 - float(numbers.epsneg) / 2))
        if self.activation in (GraphActivation.SOFTMAX, GraphActivation.LOG_SOFTMAX) and self.difference is not None:
            return logarithms
        logarithms = np.minimum(logarithms, -_TINY)
        logits: NDArray[np.float64] = logarithms - np.log(-np.expm1(logarithms))  # log(p / (1 - p))
        return logits


LOGITS = OutputForm()
"""The form of a graph that returns the logit of each pair."""
