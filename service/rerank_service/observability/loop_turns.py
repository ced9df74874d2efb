"""Times of the turns of an event loop: as a whole, and of the CPU."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

BUCKET_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
"""Upper bounds of the histograms, in seconds. A turn of a healthy server is well below 0.02 s."""


@dataclass(frozen=True, slots=True)
class Durations:
    """A histogram of durations."""

    buckets: Sequence[tuple[float, int]]
    """Upper bounds in seconds, the last one infinite, each with the number of durations up to it."""
    seconds: float
    """Sum of all durations."""


@dataclass(frozen=True, slots=True)
class TurnTotals:
    """The turns of a loop until now."""

    blocked: Durations
    """The time in which nothing else ran."""
    cpu: Durations
    """CPU time of the loop's thread. The rest of a turn is waiting: for a CPU, or for the interpreter's lock."""


class _Histogram:
    def __init__(self) -> None:
        self._counts = [0] * (len(BUCKET_SECONDS) + 1)
        self._seconds = 0.0

    def add(self, seconds: float) -> None:
        self._counts[bisect_left(BUCKET_SECONDS, seconds)] += 1
        self._seconds += seconds

    def durations(self) -> Durations:
        bounds = (*BUCKET_SECONDS, float("inf"))
        return Durations(list(zip(bounds, accumulate(self._counts), strict=True)), self._seconds)


class LoopTurns:
    """Counts the turns of an event loop. Used on the loop, and read on it."""

    def __init__(self) -> None:
        self._blocked, self._cpu = _Histogram(), _Histogram()
        self.longest = 0.0
        """Seconds of the longest turn. Set it to 0 to measure again."""

    def count(self, seconds: float, cpu_seconds: float) -> None:
        """Count a turn."""
        self._blocked.add(seconds)
        self._cpu.add(cpu_seconds)
        if seconds > self.longest:
            self.longest = seconds

    def totals(self) -> TurnTotals:
        """Return the turns until now."""
        return TurnTotals(self._blocked.durations(), self._cpu.durations())
