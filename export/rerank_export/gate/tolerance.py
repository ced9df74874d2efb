"""The limits for the difference between a graph and the original model.

A precision that rounds on purpose is judged by what users lose: the relevance loss of its rankings, and the change of
the best documents' probabilities, as in a tuning. A precision that does not round on purpose is judged by its logits.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rerank_service.models.tuning.ranking_change import BOUNDS, RankingBounds


@dataclass(frozen=True, slots=True, kw_only=True)
class Tolerance:
    """The limits. Differences are of a logit, relative to its size if that is above 1."""

    difference: float | None
    """Largest difference from torch in fp32. None: no limit."""
    ranking: RankingBounds | None
    """Largest relevance loss and largest changes of probabilities. None: no limit."""
    invariance: float
    """Largest difference from the same pair alone when padding, neighbours or order change."""


FP32 = Tolerance(difference=1e-4, ranking=None, invariance=1e-4)
"""Sums in another order differ by 8e-6 on six layers (docs/performance.md), more on more layers. A wrong mask, epsilon
or weight causes 1e-3 and more. Ranks have no limit: nearly equal documents change their rank by rounding alone."""
FP16 = Tolerance(difference=0.1, ranking=BOUNDS, invariance=0.02)
"""fp16 has 11 bits: a weight changes by up to 5e-4 of its size, a logit of many layers by hundredths."""
INT8 = Tolerance(difference=None, ranking=BOUNDS, invariance=0.02)
"""int8 has 8 bits: single logits change by tenths. Neighbours only change fp32 sums, which can move a value from one
of 255 steps to the next."""

EDGES, EDGES_ROUNDED = 1e-4, 0.1
"""Largest difference of a logit on the edge pairs (edge_pairs.py): with exact weights, and with weights rounded to
fp16."""


def of_precision(precision: str, *, rounded: bool) -> Tolerance:
    """Return the limits for a graph that computes in `precision`, with weights `rounded` to fp16 or not."""
    if precision == "int8":
        return INT8
    return FP16 if precision == "fp16" or rounded else FP32


def relative_distance(seen: NDArray[np.float32], expected: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the difference of each logit, relative to the expected size if that is above 1; NaN if either is NaN."""
    result: NDArray[np.float32] = np.abs(seen - expected) / np.maximum(np.float32(1), np.abs(expected))
    return result
