"""Whether an engine ranks as fp32 does."""

import math
import statistics
from dataclasses import dataclass

LEAST_TAU = 0.995
"""Mean Kendall tau-b with fp32 over the queries of a parity set, below which `auto` does not choose an engine."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """How alike two engines rank the queries of a set."""

    queries: int
    """In the set."""
    taus: tuple[float, ...] = ()
    """Of those that were ranked."""

    @property
    def mean(self) -> float:
        """NaN before the first query."""
        return statistics.fmean(self.taus) if self.taus else math.nan

    @property
    def holds(self) -> bool | None:
        """Whether the mean over the set is high enough; None while that is open."""
        if not self.queries:  # none fits the model's window
            return False
        left = self.queries - len(self.taus)
        if (sum(self.taus) + left) / self.queries < LEAST_TAU:  # even if all the others were ranked alike
            return False
        return None if left else True

    def and_(self, tau: float) -> "Agreement":
        """With one more query."""
        return Agreement(self.queries, (*self.taus, tau))
