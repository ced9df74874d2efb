"""A figure of a benchmark and its target."""

from dataclasses import dataclass
from enum import Enum


class Sense(Enum):
    """Side of the bound that meets the target."""

    AT_LEAST = "≥"
    AT_MOST = "≤"


@dataclass(frozen=True, slots=True)
class Row:
    """One figure and its target."""

    figure: str
    value: float | None
    """None if it could not be measured; `detail` gives the reason."""
    sense: Sense
    bound: float
    unit: str = ""
    detail: str = ""

    @property
    def holds(self) -> bool | None:
        """True if the target is met; None without a value."""
        if self.value is None:
            return None
        return self.value >= self.bound if self.sense is Sense.AT_LEAST else self.value <= self.bound
