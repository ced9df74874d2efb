"""Lane shares: whose batch runs next when several models share the lanes.

Each model has a share, with a weight. The method is start-time fair queueing (Goyal, Vin and Cheng, 1996), counted in
seconds of the whole pool, and with a bounded burst:

- A batch of a member with L lanes takes 1/L of the capacity of the pool, which is 1. So members with different numbers
  of lanes share one machine, and never more batches run than it can compute at once.
- The tag of a share is its virtual time: it grows by the seconds that its batches take of the pool, divided by its
  weight. The next batch belongs to the share with the lowest tag, among those that have work. The seconds of a batch
  are estimated when it starts, and corrected when it ends.
- The virtual time of the pool is the highest tag at which a batch has started. The tag of a share stays at most
  `BURST_SECONDS / weight` behind it. So a model that was idle has its next requests computed first, up to that burst,
  and saves no more however long it was idle.

Rule: pure. No clock, no lock, no I/O: the calls alone decide what happens.
"""

import math
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

BURST_SECONDS = 0.5
"""Seconds of the whole pool that a share may use before the others have had their parts, after it was idle. A request
within it takes about as long beside busy models as alone."""
CONTENDED_BATCH_SECONDS = 0.03
"""Maximum duration of a batch while other models share the lanes, by the cost model. A request of another model waits
for at most one such batch. A single pair may take longer, and so may a batch whose start takes more than half of it."""
USE_SECONDS = 5.0
"""Time constant of the average that says how much of a pool a share uses."""
_ROUNDING = 1e-9
"""Tolerance for sums of fractions such as 1/3."""

Member = TypeVar("Member", bound=Hashable)


@dataclass(slots=True, eq=False)
class ShareAccount:
    """The account of one share: its weight, and the time that it has used."""

    name: str
    weight: float
    """Relative to the weights of other shares; above 0."""
    tag: float = 0.0
    """Virtual time: the used seconds, divided by the weight."""
    _used: float = 0.0
    _used_at: float = 0.0

    def use(self, seconds: float, now: float) -> None:
        """Record that a batch which ended now took so many seconds of the whole pool."""
        self._used = self.recent_use(now) + seconds / USE_SECONDS
        self._used_at = now

    def recent_use(self, now: float) -> float:
        """Return the part of the pool that the share has used lately, about from 0 to 1: an exponential average."""
        return self._used * math.exp((self._used_at - now) / USE_SECONDS)


@dataclass(slots=True, eq=False)
class _Seat:
    """A member of a pool."""

    share: ShareAccount
    lanes: int
    running: int = 0
    """Number of its batches that run."""
    batch_seconds: float = 0.0
    """Duration of its last batch."""


@dataclass(frozen=True, slots=True, eq=False)
class Turn(Generic[Member]):
    """The right of a member to run one batch."""

    member: Member
    seat: _Seat
    charged: float
    """Seconds of a lane that its share was charged in advance."""


class LaneShares(Generic[Member]):
    """The members of a pool, their shares, and the capacity that their batches take."""

    def __init__(self, burst_seconds: float = BURST_SECONDS) -> None:
        self._burst_seconds = burst_seconds
        self._seats: dict[Member, _Seat] = {}
        """In the order in which they get their next turn within one share."""
        self._virtual_time = 0.0

    @property
    def lanes(self) -> int:
        """Maximum number of batches that run at once."""
        return max((seat.lanes for seat in self._seats.values()), default=0)

    @property
    def is_mixed(self) -> bool:
        """True if members have different numbers of lanes: then one batch may make room for several others."""
        return len({seat.lanes for seat in self._seats.values()}) > 1

    def __len__(self) -> int:
        """Return the number of members."""
        return len(self._seats)

    def members(self) -> list[Member]:
        """Return all members."""
        return list(self._seats)

    def add(self, member: Member, share: ShareAccount, lanes: int) -> None:
        """Add a member that runs at most `lanes` batches at once."""
        self._seats[member] = _Seat(share, lanes)

    def remove(self, member: Member) -> None:
        """Remove a member of which no batch runs."""
        del self._seats[member]

    def has_others(self, share: ShareAccount) -> bool:
        """Return True if another share has a member."""
        return any(seat.share is not share for seat in self._seats.values())

    def fraction(self, share: ShareAccount, now: float) -> float:
        """Return the part of the pool, above 0 and up to 1, that a share can get if the others go on as lately.

        `now` is the time in seconds on the clock of `end`. Each other share keeps the part that it used lately, but at
        most its part by weight: max-min fairness.
        """
        others = {
            seat.share: use
            for seat in self._seats.values()
            if seat.share is not share and (use := seat.share.recent_use(now)) > _ROUNDING  # else it takes nothing
        }
        left, weight = 1.0, share.weight + sum(other.weight for other in others)
        for other in sorted(others, key=lambda other: others[other] / other.weight):
            left -= min(others[other], left * other.weight / weight)
            weight -= other.weight
        return left

    def start(self, has_work: Callable[[Member], bool]) -> Turn[Member] | None:
        """Start the next batch, and return whose it is; None if no member has work, or the next one must wait until
        running batches end.

        A batch that does not fit is not overtaken by others, so that a member with few lanes is not starved.
        """
        ready = [(member, seat) for member, seat in self._seats.items() if has_work(member)]
        if not ready:
            return None
        earliest = self._virtual_time
        for _, seat in ready:
            share = seat.share
            share.tag = max(share.tag, earliest - self._burst_seconds / share.weight)  # unused time is not saved
        member, seat = min(ready, key=lambda entry: entry[1].share.tag)
        used = sum(other.running / other.lanes for other in self._seats.values())
        if used + 1 / seat.lanes > 1 + _ROUNDING:
            return None
        self._virtual_time = max(self._virtual_time, seat.share.tag)
        self._seats[member] = self._seats.pop(member)  # the other members of the share come first next time
        seat.running += 1
        seat.share.tag += seat.batch_seconds / seat.lanes / seat.share.weight
        return Turn(member, seat, seat.batch_seconds)

    def end(self, turn: Turn[Member], seconds: float, now: float) -> None:
        """End a batch that took so many seconds of a lane until `now`; 0 seconds if nothing ran."""
        seat = turn.seat
        seat.running -= 1
        seat.share.tag += (seconds - turn.charged) / seat.lanes / seat.share.weight
        if seconds:
            seat.batch_seconds = seconds
            seat.share.use(seconds / seat.lanes, now)
