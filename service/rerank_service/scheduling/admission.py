"""Admission control of one model: capacity, deadlines, draining.

A request is accepted or rejected before its first `await`, so two requests never get the same free capacity. Requests
that are close to their deadline are protected: a new request is rejected if it would make them late.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rerank_service.errors import DeadlineExceeded, NotReady, Overloaded
from rerank_service.quantities import about, counted
from rerank_service.scheduling.deadline import Deadline
from rerank_service.scheduling.forecast import deadline_overrun, finish_time, overrun_alone
from rerank_service.scheduling.live_tickets import LiveTickets, Ticket

RETRY_AFTER = 1.0
"""Minimum number of seconds after which a rejected client should retry."""
ALONE_SHARE = 0.9
"""Share of its remaining time that a request may need on its own. The rest covers errors of the forecast."""
SHARED_SHARE = 0.7
"""Share of the remaining time that a request may need beside other requests. It is lower than `ALONE_SHARE` because
these forecasts are less certain. While pairs wait, accepting less wastes no capacity, but a request that misses its
deadline wastes all that was computed for it."""
URGENT_SHARE = 0.9
"""Share of the remaining time that an accepted request may need beside more urgent ones. The time above
`SHARED_SHARE` is kept for them: else accepted requests whose time is planned would let no urgent one in."""
IDLE_FACTOR = 4.0
"""On an idle server, a request is rejected only if it needs more than this multiple of its remaining time. The
forecast improves only with batches that run, so a wrong forecast must not reject every request."""


class Admission:
    """Accepts or rejects requests, and knows the live ones. Used on the event loop only."""

    def __init__(self, max_live_documents: int, max_live_tokens: float, clock: Callable[[], float]) -> None:
        """`clock` is the event loop's clock, which deadlines use too."""
        self._max_live_documents = max_live_documents
        self._max_live_tokens = max_live_tokens
        self._clock = clock
        self._closed_because = ""
        self._no_requests = asyncio.Event()
        self._no_requests.set()
        self._live = LiveTickets()
        self.live_documents = 0
        """Documents of all live unary requests."""

    @property
    def live_requests(self) -> int:
        """Number of accepted requests that are not finished yet."""
        return len(self._live)

    @property
    def backlog_seconds(self) -> float:
        """Seconds until all live requests are finished, if no other request arrives."""
        return self._live.remaining_seconds

    @property
    def _idle(self) -> bool:
        """True if no live request has work. A stream that waits for documents has none."""
        return not (self.live_documents or self._live.remaining_tokens)

    @contextmanager
    def admit(
        self,
        documents: int,
        tokens: float,
        deadline: Deadline,
        tokens_per_second: float,
        weight: float,
        lanes_share: float = 1.0,
        priority: int = 0,
    ) -> Iterator[Ticket]:
        """Accept a request and reserve its capacity until the block ends.

        - `tokens`: the estimated work in padded tokens.
        - `tokens_per_second`: the expected speed of all lanes.
        - `lanes_share`: the part of them that this model gets beside other models, from 0 to 1.
        - `weight`: the request's share among the requests of this model with the same priority.
        - `priority`: the requests of this model with a lower number come first.

        The forecast time of a request must stay within a multiple of its remaining time:

        - On an idle server: `IDLE_FACTOR` (4). The capacity is not checked, so any size is accepted.
        - Beside other requests: `ALONE_SHARE` (0.9) for the request on its own, and `SHARED_SHARE` (0.7) for the
          request and each request that it delays, when they share the lanes. `URGENT_SHARE` (0.9) for those that it
          delays and that are less urgent.

        Raises:
            NotReady: the server is draining, or the model is unloading.
            Overloaded: the capacity is used up, or the request or one that it delays would be late.
            DeadlineExceeded: the request would be late even on its own, so a retry does not help.
        """
        if self._closed_because:
            raise NotReady(self._closed_because)
        ticket = Ticket(tokens, deadline, weight, tokens_per_second, priority)
        idle = self._idle
        if not idle:
            self._check_capacity(documents, tokens)
        self._check_deadlines(ticket, tokens_per_second, lanes_share, idle=idle)
        self.live_documents += documents
        self._live.add(ticket)
        self._no_requests.clear()
        try:
            yield ticket
        finally:
            self.live_documents -= documents
            self._live.remove(ticket)
            if not len(self._live):
                self._no_requests.set()

    def _check_capacity(self, documents: int, tokens: float) -> None:
        if self.live_documents + documents > self._max_live_documents:
            raise Overloaded(
                f"the server is ranking {counted(self.live_documents, 'document')} and accepts at most "
                f"{self._max_live_documents:,}: retry later",
                retry_after=RETRY_AFTER,
            )
        waiting = self._live.remaining_tokens
        if waiting + tokens > self._max_live_tokens:
            raise Overloaded(
                f"the server has {counted(waiting, 'token')} waiting and accepts at most "
                f"{self._max_live_tokens:,.0f}: retry later",
                retry_after=RETRY_AFTER,
            )

    def _check_deadlines(self, ticket: Ticket, tokens_per_second: float, lanes_share: float, *, idle: bool) -> None:
        now, own_speed = self._clock(), tokens_per_second * lanes_share
        new = ticket.remaining_work(now)
        live = self._live.work(now)
        if new.tokens:
            ticket.forecast = finish_time(live, new, own_speed)
        if overrun_alone(new, tokens_per_second, IDLE_FACTOR if idle else ALONE_SHARE):
            raise DeadlineExceeded(
                f"the request needs {about(new.tokens / tokens_per_second)} and would miss its deadline "
                "even on its own: set a longer timeout, or send fewer or shorter documents"
            )
        shares = (IDLE_FACTOR, IDLE_FACTOR) if idle else (SHARED_SHARE, URGENT_SHARE)
        late = deadline_overrun(live, new, own_speed, *shares)
        if late > 0:
            raise Overloaded(
                f"this request or an accepted one would miss its deadline by {about(late)}: retry later",
                retry_after=max(RETRY_AFTER, late),
            )

    def set_limits(self, max_live_documents: int, max_live_tokens: float) -> None:
        """Change the limits. They hold for new requests."""
        self._max_live_documents = max_live_documents
        self._max_live_tokens = max_live_tokens

    def close(self, why: str = "the server is draining: send the request to another replica") -> None:
        """Reject all requests from now on, with this message. Accepted requests continue."""
        self._closed_because = why

    async def drained(self) -> None:
        """Wait until no request is live."""
        await self._no_requests.wait()
