"""A figure of a benchmark and its target."""

from collections.abc import Mapping, Sequence
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


_OUTCOMES: Mapping[str, bool | None] = {"met": True, "missed": False, "not measured": None}


def count_goals(shown: Sequence[Row]) -> dict[str, int]:
    """Return how many targets are met, missed and not measured."""
    return {text: sum(row.holds is holds for row in shown) for text, holds in _OUTCOMES.items()}


def goals_text(shown: Sequence[Row]) -> str:
    """Return the counts, and the figures whose target is missed or not measured."""
    counts = ", ".join(f"{count} {text}" for text, count in count_goals(shown).items())
    others = [
        f"- {text}: {row.figure}"
        for text, holds in _OUTCOMES.items()
        for row in shown
        if not holds and row.holds is holds
    ]
    return "\n".join([f"**{counts}.**", *(["", *others] if others else [])])
