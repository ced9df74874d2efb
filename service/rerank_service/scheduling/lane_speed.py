"""The number of rows of a batch, and the speed of the lanes that follows from it.

Rule: pure. No clock, no lock, no I/O.
"""

from rerank_service.scheduling.batching import BatchLimits
from rerank_service.scheduling.cost_model import CostModel
from rerank_service.scheduling.lane_shares import CONTENDED_BATCH_SECONDS


class LaneSpeed:
    """The speed of the lanes of one model, by its cost model."""

    def __init__(
        self,
        cost: CostModel,
        limits: BatchLimits,
        *,
        lanes: int,
        contended_seconds: float = CONTENDED_BATCH_SECONDS,
    ) -> None:
        """`lanes` is the number of batches that run at once, `contended_seconds` the maximum duration of a batch of
        several rows while the lanes are contended."""
        self.cost = cost
        self._limits = limits
        self._lanes = lanes
        self._contended_seconds = contended_seconds

    def max_rows(self, length: int, *, contended: bool) -> int:
        """Return the maximum number of rows of a batch of this padded length; at least 1. Batches are short if the
        lanes are contended, so that other models wait for a short time only."""
        if not contended:
            return self._limits.max_pairs
        return min(self._limits.max_pairs, self.cost.rows_within(self._contended_seconds, length))

    def tokens_per_second(self, length: float, max_tokens: int, *, contended: bool) -> float:
        """Return the speed of all lanes in padded tokens per second, for pairs of `length` tokens, if no other model
        has work. `max_tokens` are the padded tokens of the largest batches."""
        row = self._limits.padded(max(1, round(length)))
        rows = max(1, min(max_tokens // row, self.max_rows(row, contended=contended)))
        return self._lanes * rows * row / self.cost.seconds(rows, row)
