"""Shares of a fair queue in the order of their urgency, at a cost that grows by the logarithm of their number.

A heap whose entries may be out of date. The sort key of a share never decreases: it is served, and then waits for its
next turn. So an entry that is out of date stands too early in the heap, and it is enough to correct the entry at the
top: each change of a share costs at most one correction.

Rule: pure.
"""

from collections.abc import Hashable
from heapq import heapify, heappop, heappush, heapreplace
from typing import Generic, Protocol, TypeVar

Urgency = tuple[int, float, int]
"""Sort key of a share. The last number is unique."""
_KEPT_ENTRIES = 64
"""Number of entries of removed shares that are kept, beyond as many as there are shares."""


class Urgent(Hashable, Protocol):
    """A share."""

    @property
    def urgency(self) -> Urgency:
        """The share with the lowest value is served next. It never decreases."""


Share = TypeVar("Share", bound=Urgent)


class UrgencyLine(Generic[Share]):
    """A set of shares that knows the most urgent one."""

    def __init__(self) -> None:
        self._shares: set[Share] = set()
        self._heap: list[tuple[Urgency, Share]] = []
        """At least one entry for each share. Entries of removed shares go when they reach the top, or when they are
        more than the others."""

    def __len__(self) -> int:
        """Return the number of shares."""
        return len(self._shares)

    def add(self, share: Share) -> None:
        """Add a share that is not there."""
        self._shares.add(share)
        heappush(self._heap, (share.urgency, share))

    def remove(self, share: Share) -> None:
        """Remove a share."""
        self._shares.remove(share)
        if len(self._heap) > 2 * len(self._shares) + _KEPT_ENTRIES:
            self._heap = [(each.urgency, each) for each in self._shares]
            heapify(self._heap)

    def first(self) -> Share:
        """Return the share with the lowest urgency. There must be one."""
        while True:
            urgency, share = self._heap[0]
            if share not in self._shares:
                heappop(self._heap)
            elif urgency != share.urgency:
                heapreplace(self._heap, (share.urgency, share))
            else:
                return share
