"""Growth of a figure over time, by linear regression."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_CERTAIN = 3.0
"""Standard errors of the slope beyond which it is no accident."""
_MIN_VALUES = 8


@dataclass(frozen=True, slots=True)
class Trend:
    """A regression line over the values of equal periods."""

    mean: float
    growth: float
    """Slope, times the number of periods."""
    error: float
    """Standard error of the growth."""

    @classmethod
    def of(cls, values: Sequence[float]) -> "Trend":
        """Return the trend of at least three values."""
        at, found = np.arange(len(values)), np.asarray(values, float)
        (slope, _), covariance = np.polyfit(at, found, 1, cov=True)
        return cls(float(found.mean()), float(slope) * len(values), float(np.sqrt(covariance[0, 0])) * len(values))

    def grows(self, share: float) -> bool:
        """Return whether the growth is no accident and more than this share of the mean."""
        return self.growth > share * self.mean and self.growth > _CERTAIN * self.error


def problem(name: str, values: Sequence[float], share: float) -> str:
    """Return that a figure has grown by more than a share of its mean; empty if not, or if there are few values."""
    if len(values) < _MIN_VALUES:
        return ""
    trend = Trend.of(values)
    if not trend.grows(share):
        return ""
    return (
        f"{name} grew by {trend.growth:.3g} ± {trend.error:.3g} over {len(values)} minutes, with a mean of "
        f"{trend.mean:.3g}; at most {share:.0%}"
    )
