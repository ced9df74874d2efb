"""Forecast when requests finish that share the lanes by their weights.

All live requests are looked at for each new one, since each has a deadline of its own. So they are arrays: a forecast
with 10,000 live requests takes 1 ms.

Rule: pure functions. Tokens and deadlines in, seconds out.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class RemainingWork:
    """The work that remains for one request."""

    tokens: float
    """Padded tokens."""
    seconds_left: float
    """Seconds until its deadline. Infinite: the request cannot be late."""
    weight: float = 1.0
    """Share of the lanes, relative to the weights of other requests."""
    is_sized: bool = True
    """False: admission did not know the size of the request, and `tokens` are those of the documents that arrived."""


@dataclass(frozen=True, slots=True)
class LiveWork:
    """The work that remains for the live requests: arrays of shape (requests,), as in `RemainingWork`."""

    tokens: NDArray[np.float64]
    seconds_left: NDArray[np.float64]
    weight: NDArray[np.float64]
    is_sized: NDArray[np.bool_]

    @classmethod
    def of(cls, requests: Sequence[RemainingWork]) -> Self:
        """Return the arrays of requests."""
        return cls(
            np.array([request.tokens for request in requests], np.float64),
            np.array([request.seconds_left for request in requests], np.float64),
            np.array([request.weight for request in requests], np.float64),
            np.array([request.is_sized for request in requests], np.bool_),
        )


def finish_times(live: LiveWork, tokens_per_second: float) -> NDArray[np.float64]:
    """Return the seconds until each request is finished, if no other request arrives; shape (requests,).

    The model is weighted processor sharing: at any time each unfinished request gets tokens in proportion to its
    weight. The request with the fewest tokens per weight finishes first; the others then share its part.
    """
    needed = live.tokens / live.weight
    order = np.argsort(needed, kind="stable")
    weight = live.weight[order]
    unfinished = np.cumsum(weight[::-1])[::-1]  # weight of the requests that are unfinished until each one finishes
    finished = np.empty_like(needed)
    finished[order] = np.cumsum(np.diff(needed[order], prepend=0.0) * unfinished) / tokens_per_second
    return finished


def finish_time(live: LiveWork, new: RemainingWork, tokens_per_second: float) -> float:
    """Return the seconds until `new` is finished beside the live requests.

    Until then, each live request gets its own tokens, or as many tokens per weight as the new one.
    """
    given = np.minimum(live.tokens, new.tokens / new.weight * live.weight).sum()
    return float(given + new.tokens) / tokens_per_second


def overrun_alone(request: RemainingWork, tokens_per_second: float, time_factor: float) -> float:
    """Return by how many seconds a request would finish too late if it were alone; 0 if it is in time. "In
    time" means the same as in `deadline_overrun`."""
    return max(0.0, request.tokens / tokens_per_second - time_factor * request.seconds_left)


def deadline_overrun(live: LiveWork, new: RemainingWork, tokens_per_second: float, time_factor: float) -> float:
    """Return by how many seconds some request would finish too late if `new` were accepted; 0 if all are in time.

    A request is in time if it finishes within `time_factor` times its remaining time. The check covers the new request
    and each live request that it delays. A live request that would miss its deadline anyway does not count. One whose
    size was not known counts only while it is in time without the new one. Admission never forecast that it would be,
    and while it needed most of its remaining time, it would count against every new request.

    The new request delays another one by the tokens that it gets until that one finishes: its own tokens, or as many
    per weight as the other one.
    """
    end_of_all = float(live.tokens.sum() + new.tokens) / tokens_per_second
    first_due = min(float(live.seconds_left.min(initial=math.inf)), new.seconds_left)
    if end_of_all <= time_factor * first_due:  # the usual case, without the cost of a forecast for each request
        return 0.0
    before = finish_times(live, tokens_per_second)
    delay = np.minimum(new.tokens, live.tokens / live.weight * new.weight) / tokens_per_second
    protected = live.seconds_left * np.where(live.is_sized, 1.0, time_factor)
    counts = (before <= protected) & (delay > 0)
    overruns = (before + delay - time_factor * live.seconds_left)[counts]
    own = finish_time(live, new, tokens_per_second) - time_factor * new.seconds_left
    return max(own, float(overruns.max(initial=0.0)), 0.0)
