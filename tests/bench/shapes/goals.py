"""Goals of the shapes, marked as met or missed."""

from collections.abc import Sequence

from bench.shapes.results import LengthResult, ShapeResult, SystemSpeed
from bench.systems import Use
from bench.target_row import Row, Sense, count_goals

TIMES_BEST = 1.3
"""Documents per second of this server / of the peer's best CPU setting whose rankings are as good."""
TIMES_IN_USE, TIMES_IN_USE_AMX = 2.5, 5.0
"""The same for the peer's default use."""
MEMORY_TIMES_WEIGHTS = 2.2
"""Peak memory / bytes of the weights in the served precision."""


def rows(result: ShapeResult, *, has_amx: bool) -> list[Row]:
    """Return the figures of one shape with their targets."""
    in_use = TIMES_IN_USE_AMX if has_amx else TIMES_IN_USE
    compared: list[Row] = []
    for length in result.lengths:
        compared += [
            _beside(length, "best setting", length.fastest(*(use.value for use in Use)), TIMES_BEST),
            _beside(length, "default use", length.fastest(Use.AS_USERS_DO.value), in_use),
        ]
    memory = Row(
        "peak memory / weights",
        result.peak_bytes / result.weight_bytes,
        Sense.AT_MOST,
        MEMORY_TIMES_WEIGHTS,
        detail=f"{result.peak_bytes / 1e6:.0f} MB / {result.weight_bytes / 1e6:.0f} MB",
    )
    return [*compared, memory]


def _beside(length: LengthResult, what: str, other: SystemSpeed | None, bound: float) -> Row:
    figure = f"{length.tokens} tokens: served / {what}"
    if other is None:
        return Row(figure, None, Sense.AT_LEAST, bound, detail="no setting of the peer ran")
    return Row(figure, other.ratio, Sense.AT_LEAST, bound, detail=f"{other.name} {other.precision}")


def count(shown: Sequence[Row]) -> str:
    """Return how many goals are met, missed and not measured, without those that are zero."""
    return ", ".join(f"{number} {outcome}" for outcome, number in count_goals(shown).items() if number)
