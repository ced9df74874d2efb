"""How far a graph may be from the model that it was made of.

Ranks decide where a precision rounds on purpose: a logit may move by tenths and no document change places, or by a
hundredth and many do. Where nothing is rounded on purpose the logits themselves are compared.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rerank_service.models.tuning.gate import LEAST_TAU


@dataclass(frozen=True, slots=True)
class Tolerance:
    """What is allowed. Differences are of a logit, times its size where that is more than 1."""

    difference: float | None
    """From torch in fp32. None: ranks decide."""
    tau: float | None
    """Least mean Kendall tau-b."""
    top_10: float | None
    """Least mean share of the ten best that are the same."""
    invariance: float
    """From the same pair alone, when padding, neighbours or order change."""


FP32 = Tolerance(difference=1e-4, tau=None, top_10=None, invariance=1e-4)
"""Sums in another order: 8e-6 on six layers (docs/performance.md), more on more layers. A wrong mask, epsilon or weight
is off by 1e-3 and more. Ranks are not asked for: documents that are all but equal change places by rounding alone."""
FP16 = Tolerance(difference=0.1, tau=LEAST_TAU, top_10=0.98, invariance=0.02)
"""11 bits: a weight is off by up to 5e-4 of itself, a logit of many layers by hundredths."""
INT8 = Tolerance(difference=None, tau=LEAST_TAU, top_10=0.98, invariance=0.02)
"""8 bits: single logits are off by tenths. A neighbour changes nothing but the sums in fp32, which can tip a value
from one of 255 steps to the next."""

EDGES, EDGES_ROUNDED = 1e-4, 0.1
"""Of a logit of the built-in pairs at the edges of what a model takes (parity.py), by a graph with exact weights, or
with weights that were rounded to 16 bits."""


def of_precision(precision: str, *, rounded: bool) -> Tolerance:
    """What is allowed to a graph that computes in `precision`, its weights `rounded` to 16 bits or not."""
    if precision == "int8":
        return INT8
    return FP16 if precision == "fp16" or rounded else FP32


def distance(seen: NDArray[np.float32], expected: NDArray[np.float32]) -> NDArray[np.float32]:
    """Of each logit, for its size where that is more than 1; NaN where one is."""
    result: NDArray[np.float32] = np.abs(seen - expected) / np.maximum(np.float32(1), np.abs(expected))
    return result
