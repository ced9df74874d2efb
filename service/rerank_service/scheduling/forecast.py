"""When requests will be finished that share the lanes fairly.

Rule 1: pure. Tokens and deadlines in, seconds out.
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Load:
    """What a request still wants."""

    tokens: float
    """Padded tokens."""
    seconds_left: float
    """Until its deadline."""
    weight: float = 1.0
    """Its share of the lanes, beside others'."""


def finish_times(loads: Sequence[Load], tokens_per_second: float) -> list[float]:
    """Seconds until each is done when all get shares by their weights and nobody else comes (processor sharing).

    The one with the least tokens for its weight is done first; what it had is shared by the others.
    """
    done = [0.0] * len(loads)
    clock = given = 0.0
    sharing = sum(load.weight for load in loads)
    wanted = [load.tokens / load.weight for load in loads]
    for at in sorted(range(len(loads)), key=wanted.__getitem__):
        clock += (wanted[at] - given) * sharing / tokens_per_second
        given = wanted[at]
        sharing -= loads[at].weight
        done[at] = clock
    return done


def lateness(live: Sequence[Load], newcomer: Load, tokens_per_second: float, margin: float) -> float:
    """Seconds by which letting the newcomer in would make somebody later than a share `margin` of the time left: 0 if
    nobody.

    The newcomer itself counts, and whoever it delays. A request that will be late anyway does not.
    """
    before = finish_times(live, tokens_per_second)
    after = finish_times([*live, newcomer], tokens_per_second)
    late = after[-1] - margin * newcomer.seconds_left
    for load, was, becomes in zip(live, before, after, strict=False):
        if was <= load.seconds_left and becomes > was:
            late = max(late, becomes - margin * load.seconds_left)
    return max(late, 0.0)
