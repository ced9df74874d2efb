"""Forecast when requests finish that share the lanes by their priorities and weights.

The model of the fair queue: requests of a lower priority number come first, and those of one number share by their
weights. But one batch in `OLDEST_EVERY` goes to the pair that has waited longest, so less urgent requests get that part
of the lanes meanwhile.

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

from rerank_service.scheduling.fair_queue import OLDEST_EVERY

_LESS_URGENT = 1 / (OLDEST_EVERY - 1)
"""Tokens that less urgent requests get at most, for each token of the others."""


@dataclass(frozen=True, slots=True)
class RemainingWork:
    """The work that remains for one request."""

    tokens: float
    """Padded tokens."""
    seconds_left: float
    """Seconds until its deadline. Infinite: the request cannot be late."""
    weight: float = 1.0
    """Share of the lanes, relative to the weights of other requests."""
    priority: int = 0
    """Requests with a lower number come first."""
    is_sized: bool = True
    """False: admission did not know the size of the request, and `tokens` are those of the documents that arrived."""


@dataclass(frozen=True, slots=True)
class LiveWork:
    """The work that remains for the live requests: arrays of shape (requests,), as in `RemainingWork`."""

    tokens: NDArray[np.float64]
    seconds_left: NDArray[np.float64]
    weight: NDArray[np.float64]
    priority: NDArray[np.float64]
    is_sized: NDArray[np.bool_]

    @classmethod
    def of(cls, requests: Sequence[RemainingWork]) -> Self:
        """Return the arrays of requests."""
        return cls(
            np.array([request.tokens for request in requests], np.float64),
            np.array([request.seconds_left for request in requests], np.float64),
            np.array([request.weight for request in requests], np.float64),
            np.array([request.priority for request in requests], np.float64),
            np.array([request.is_sized for request in requests], np.bool_),
        )


def finish_times(live: LiveWork, tokens_per_second: float) -> NDArray[np.float64]:
    """Return the seconds until each request is finished, if no other request arrives; shape (requests,)."""
    return _tokens_until(*_ahead_and_behind(live)) / tokens_per_second


def _ahead_and_behind(live: LiveWork) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return for each request the tokens that must be computed until it is finished, and the tokens of all less urgent
    requests; both of shape (requests,).

    The model for requests of one priority is weighted processor sharing: at any time each unfinished request gets
    tokens in proportion to its weight. So when one finishes, those with fewer tokens per weight are finished, too, and
    each other one has got as many tokens per weight as it.
    """
    needed = live.tokens / live.weight
    order = np.lexsort((needed, live.priority))  # by priority, then by tokens per weight
    priority = live.priority[order]
    tokens, weight = np.cumsum(live.tokens[order]), np.cumsum(live.weight[order])
    last = np.searchsorted(priority, priority, side="right") - 1  # the last request of the same priority
    ahead, behind = np.empty_like(needed), np.empty_like(needed)
    ahead[order] = tokens + needed[order] * (weight[last] - weight)
    behind[order] = tokens[-1:] - tokens[last]
    return ahead, behind


def _tokens_until(ahead: NDArray[np.float64], behind: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the tokens that are computed until the tokens `ahead` are, while the less urgent tokens `behind` wait."""
    return ahead + np.minimum(behind, ahead * _LESS_URGENT)


def finish_time(live: LiveWork, new: RemainingWork, tokens_per_second: float) -> float:
    """Return the seconds until `new` is finished beside the live requests.

    Until then, each equally urgent one gets its own tokens, or as many tokens per weight as the new one.
    """
    shared = np.minimum(live.tokens, new.tokens / new.weight * live.weight)
    later = live.priority - new.priority
    if not later.any():  # the usual case, in half the time
        return float(shared.sum() + new.tokens) / tokens_per_second
    ahead = np.where(later, np.where(later < 0, live.tokens, 0.0), shared).sum() + new.tokens
    return float(_tokens_until(ahead, live.tokens[later > 0].sum())) / tokens_per_second


def overrun_alone(request: RemainingWork, tokens_per_second: float, time_factor: float) -> float:
    """Return by how many seconds a request would finish too late if it were alone; 0 if it is in time. "In
    time" means the same as in `deadline_overrun`."""
    return max(0.0, request.tokens / tokens_per_second - time_factor * request.seconds_left)


def deadline_overrun(
    live: LiveWork, new: RemainingWork, tokens_per_second: float, time_factor: float, urgent_factor: float
) -> float:
    """Return the largest overrun, in seconds, if `new` were accepted: the time by which a request that counts would
    finish too late. 0 if all of them are in time.

    A request is in time if it finishes within `time_factor` times its remaining time. For live requests that are less
    urgent than the new one, the factor is `urgent_factor`, which is not smaller.

    The new request counts, and so does each live request that it delays, except:

    - a request that would miss its deadline even without the new one;
    - a request of unknown size (`is_sized` is False) that would not be in time even without the new one. Admission made
      no forecast for it, so it may need most of its remaining time. Then each new request would be rejected.

    The new request delays another one by the tokens that it gets until that one finishes:

    - if it is more urgent: all its tokens;
    - if it is equally urgent: its tokens, but at most as many per weight as the other one has;
    - if it is less urgent: its part of the batches for pairs that have waited longest.

    A new request without tokens delays no other, and has nothing to finish.
    """
    if not new.tokens:
        return 0.0
    end_of_all = float(live.tokens.sum() + new.tokens) / tokens_per_second
    first_due = min(float(live.seconds_left.min(initial=math.inf)), new.seconds_left)
    if end_of_all <= time_factor * first_due:  # the usual case, without the cost of a forecast for each request
        return 0.0
    ahead, behind = _ahead_and_behind(live)
    before = _tokens_until(ahead, behind) / tokens_per_second
    earlier, later = live.priority < new.priority, live.priority > new.priority
    shared = np.minimum(new.tokens, live.tokens / live.weight * new.weight)
    ahead += np.where(earlier, 0.0, np.where(later, new.tokens, shared))
    after = _tokens_until(ahead, behind + np.where(earlier, new.tokens, 0.0)) / tokens_per_second
    planned = live.seconds_left * np.where(later, urgent_factor, time_factor)
    protected = np.where(live.is_sized, live.seconds_left, planned)
    counts = (before <= protected) & (after > before)
    overruns = (after - planned)[counts]
    own = finish_time(live, new, tokens_per_second) - time_factor * new.seconds_left
    return max(own, float(overruns.max(initial=0.0)), 0.0)
