"""Growth of a figure: its slope in a log-log plot, and whether it grows faster than it may. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

MAX_SLOPE = 1.15
"""Maximum slope that counts as linear: 1, with a tolerance for noise."""
CORES = (1, 2, 4, 8, 16, 32, 64)
"""Numbers of cores with a forecast."""


@dataclass(frozen=True, slots=True)
class Point:
    """One measured point."""

    x: float
    p50: float
    """Seconds."""
    p99: float
    """Seconds."""
    documents_per_second: float


def slope(xs: Sequence[float], ys: Sequence[float]) -> float:
    """Return the exponent of growth by regression of the logarithms: 1 is linear, 2 quadratic, 0 constant."""
    return float(np.polyfit(np.log(xs), np.log(ys), 1)[0])


@dataclass(frozen=True, slots=True)
class Sweep:
    """The points of one varied quantity, ascending."""

    name: str
    """The quantity, such as `documents per request`."""
    setting: str
    """Text about the quantities that are equal at all points."""
    points: Sequence[Point]
    is_growth: bool = True
    """True if latency may grow linearly with the quantity; False if only throughput is compared."""

    @property
    def slope(self) -> float:
        """Exponent of the growth of p50; of throughput, if only that is compared."""
        xs = [point.x for point in self.points]
        return slope(xs, [point.p50 if self.is_growth else point.documents_per_second for point in self.points])

    @property
    def last_slope(self) -> float:
        """Exponent of the growth of p50 over the last half of the points: fixed costs hide a fault among the first."""
        last = self.points[len(self.points) // 2 :]
        return slope([point.x for point in last], [point.p50 for point in last])

    @property
    def fault(self) -> str:
        """The reason why the sweep is a fault; empty if it is none."""
        if self.is_growth and max(self.slope, self.last_slope) > MAX_SLOPE:
            return f"p50 grows with exponent {max(self.slope, self.last_slope):.2f}; at most {MAX_SLOPE} is linear"
        return ""


@dataclass(frozen=True, slots=True)
class CoreModel:
    """Throughput on n cores, by Amdahl's law, with the bound of the event loop.

    Assumptions: each core has one lane; the part of the work that does not run in parallel is that seen between one
    lane and two; memory bandwidth grows with the cores; one event loop serves all requests.
    """

    one: float
    """Documents per second with one lane."""
    two: float
    """Documents per second with two lanes."""
    loop_seconds: float
    """Time of the event loop for one document."""

    @property
    def serial(self) -> float:
        """Part of the work that does not run in parallel, from 0 to 1."""
        return min(1.0, max(0.0, 2 * self.one / self.two - 1))

    def documents_per_second(self, cores: int) -> float:
        """Return the forecast for a number of cores."""
        return min(self.one / (self.serial + (1 - self.serial) / cores), 1 / self.loop_seconds)
