"""The accepted requests of one model, with the work that remains for each.

The numbers are columns of one array, so that admission looks at thousands of requests without a loop.
"""

import numpy as np
from numpy.typing import NDArray

from rerank_service.scheduling.deadline import Deadline
from rerank_service.scheduling.forecast import LiveWork, RemainingWork

_TOKENS, _DUE, _WEIGHT, _SPEED, _PRIORITY, _IS_SIZED = range(6)
_ROWS = 64
"""Initial number of rows."""


class Ticket:
    """An accepted request: the work that remains, its deadline, its weight and its priority."""

    def __init__(
        self, tokens: float, deadline: Deadline, weight: float, tokens_per_second: float, priority: int = 0
    ) -> None:
        """`tokens` is the estimated work in padded tokens, 0 if it is not known. `tokens_per_second` is the expected
        speed of all lanes."""
        self.values = np.array([tokens, deadline.at, weight, tokens_per_second, priority, tokens > 0])
        """Tokens, deadline on the event loop's clock, weight, speed, priority, and whether the work was known; while
        the request is live, a row of `LiveTickets`."""
        self.forecast: float | None = None
        """Seconds from admission to the end, if no other request arrives. None: the size of the request is unknown."""

    @property
    def remaining_tokens(self) -> float:
        """Padded tokens that remain to be computed; at least 0."""
        return max(0.0, float(self.values[_TOKENS]))

    def reduce(self, tokens: float) -> None:
        """Subtract tokens that were computed, or that the estimate counted in excess. Negative: add tokens."""
        self.values[_TOKENS] -= tokens

    def remaining_work(self, now: float) -> RemainingWork:
        """Return the work that remains at `now`, in seconds on the event loop's clock."""
        due, weight, priority, is_sized = self.values[[_DUE, _WEIGHT, _PRIORITY, _IS_SIZED]].tolist()
        return RemainingWork(self.remaining_tokens, due - now, weight, int(priority), bool(is_sized))


class LiveTickets:
    """The tickets of live requests. Used on the event loop only."""

    def __init__(self) -> None:
        self._rows = np.empty((_ROWS, 6))
        self._tickets: list[Ticket] = []
        """The ticket of each row."""
        self._places: dict[Ticket, int] = {}

    def __len__(self) -> int:
        """Return the number of live requests."""
        return len(self._tickets)

    def add(self, ticket: Ticket) -> None:
        """Add a request."""
        place = len(self._tickets)
        if place == len(self._rows):
            self._rows = np.concatenate((self._rows, np.empty_like(self._rows)))
            for each, row in zip(self._tickets, self._rows, strict=False):
                each.values = row
        self._tickets.append(ticket)
        self._put(ticket, place)

    def remove(self, ticket: Ticket) -> None:
        """Remove a request. The last one takes its row."""
        place, last = self._places.pop(ticket), self._tickets.pop()
        ticket.values = ticket.values.copy()
        if last is not ticket:
            self._tickets[place] = last
            self._put(last, place)

    def _put(self, ticket: Ticket, place: int) -> None:
        self._rows[place] = ticket.values
        ticket.values = self._rows[place]
        self._places[ticket] = place

    @property
    def _live(self) -> NDArray[np.float64]:
        return self._rows[: len(self._tickets)]

    @property
    def remaining_tokens(self) -> float:
        """Padded tokens that remain for all requests."""
        return float(np.maximum(self._live[:, _TOKENS], 0.0).sum())

    @property
    def remaining_seconds(self) -> float:
        """Seconds in which all lanes together would compute the remaining tokens."""
        live = self._live
        return float((np.maximum(live[:, _TOKENS], 0.0) / live[:, _SPEED]).sum())

    def work(self, now: float) -> LiveWork:
        """Return the work that remains at `now`, for the requests that have some. A stream without documents has
        none, and delays nobody."""
        live = self._live[self._live[:, _TOKENS] > 0]
        return LiveWork(
            tokens=live[:, _TOKENS],
            seconds_left=live[:, _DUE] - now,
            weight=live[:, _WEIGHT],
            priority=live[:, _PRIORITY],
            is_sized=live[:, _IS_SIZED] > 0,
        )
