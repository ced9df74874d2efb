"""The criterion by which the ranking of an engine matches fp32."""

import math
import statistics
from dataclasses import dataclass

MIN_TAU = 0.995
"""Minimum mean Kendall tau-b with fp32 over the queries of a parity set. `auto` chooses no engine below it."""


@dataclass(frozen=True, slots=True)
class RankingComparison:
    """The tau-b values of an engine's rankings with those of fp32, for the queries compared so far."""

    queries: int
    """Number of queries in the set."""
    taus: tuple[float, ...] = ()
    """Tau-b, from -1 to 1, of each query compared so far."""

    @property
    def mean(self) -> float:
        """Mean tau-b of the compared queries; NaN before the first one."""
        return statistics.fmean(self.taus) if self.taus else math.nan

    @property
    def passes(self) -> bool | None:
        """True if the mean over the whole set reaches MIN_TAU; None if that depends on the remaining queries."""
        if not self.queries:  # no query fits the token limit of the model
            return False
        remaining = self.queries - len(self.taus)
        if (sum(self.taus) + remaining) / self.queries < MIN_TAU:  # even with tau-b 1 for the remaining queries
            return False
        return None if remaining else True

    def with_tau(self, tau: float) -> "RankingComparison":
        """Return the comparison with one more query."""
        return RankingComparison(self.queries, (*self.taus, tau))
