"""Who may come in: room for documents, time to finish, and the door that a draining server closes."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rerank_service.errors import DeadlineExceeded, NotReady, Overloaded
from rerank_service.quantities import counted, duration
from rerank_service.scheduling.deadline import Deadline
from rerank_service.scheduling.forecast import Load, lateness

RETRY_AFTER = 1.0
"""Seconds told to a refused client, at least."""
ALONE = 0.9
"""The share of its time that a request may be forecast to take by itself, since forecasts err."""
BESIDE = 0.7
"""The same beside others. There forecasts err more, and to let in less costs nothing as long as something waits; what
is let in and not done in time has cost what it had."""
DOUBT = 4.0
"""On an idle server a request is refused only if it is forecast to take so many times what it has: else a forecast
that is wrong could keep everybody out, and nothing would run by which it could be learned better."""


class Ticket:
    """A live request: how much it is expected to cost, and how much of that it has had."""

    def __init__(self, tokens: float, deadline: Deadline, weight: float) -> None:
        self._tokens = tokens
        self._deadline = deadline
        self._weight = weight

    @property
    def tokens(self) -> float:
        """What it still wants."""
        return max(0.0, self._tokens)

    def progress(self, tokens: float) -> None:
        """So many tokens less are wanted: they were computed, or had been guessed and are not there."""
        self._tokens -= tokens

    def load(self, now: float) -> Load:
        """What it still wants, and the time that it has for that."""
        return Load(self.tokens, self._deadline.at - now, self._weight)


class Admission:
    """Knows the live requests. Room is taken before a request's first await, so that no two requests are let in on
    the same room."""

    def __init__(self, max_live_documents: int, max_live_tokens: float, clock: Callable[[], float]) -> None:
        """`clock` is the event loop's, in whose seconds deadlines are."""
        self._max_live_documents = max_live_documents
        self._max_live_tokens = max_live_tokens
        self._clock = clock
        self._open = True
        self._empty = asyncio.Event()
        self._empty.set()
        self._live: set[Ticket] = set()
        self.live_documents = 0

    @property
    def live_requests(self) -> int:
        """Requests that are not answered yet."""
        return len(self._live)

    @contextmanager
    def admit(
        self, documents: int, tokens: float, deadline: Deadline, tokens_per_second: float, weight: float = 1.0
    ) -> Iterator[Ticket]:
        """Hold room for a request while it lives.

        A request is let in whatever its size when nothing else is there, if it can be done by its deadline.

        Raises:
            NotReady: the server is draining.
            Overloaded: there is no room, or it or another request would be late; says when to come back.
            DeadlineExceeded: it would be late even if it were alone, so that coming back does not help.
        """
        if not self._open:
            raise NotReady("the server is draining: send the request to another replica")
        ticket = Ticket(tokens, deadline, weight)
        self._check_room(documents, tokens)
        self._check_time(ticket, tokens_per_second)
        self.live_documents += documents
        self._live.add(ticket)
        self._empty.clear()
        try:
            yield ticket
        finally:
            self.live_documents -= documents
            self._live.discard(ticket)
            if not self._live:
                self._empty.set()

    def _check_room(self, documents: int, tokens: float) -> None:
        if not self._live:
            return
        if self.live_documents + documents > self._max_live_documents:
            raise Overloaded(
                f"the server is ranking {counted(self.live_documents, 'document')}, and takes on at most "
                f"{self._max_live_documents:,}",
                retry_after=RETRY_AFTER,
            )
        waiting = sum(ticket.tokens for ticket in self._live)
        if waiting + tokens > self._max_live_tokens:
            raise Overloaded(
                f"the server has {counted(waiting, 'token')} waiting, and takes on at most "
                f"{self._max_live_tokens:,.0f}",
                retry_after=RETRY_AFTER,
            )

    def _check_time(self, ticket: Ticket, tokens_per_second: float) -> None:
        now = self._clock()
        newcomer = ticket.load(now)
        if lateness([], newcomer, tokens_per_second, ALONE if self._live else DOUBT):
            needed = newcomer.tokens / tokens_per_second
            raise DeadlineExceeded(
                f"the request needs about {duration(needed)} by itself, more than its deadline leaves: give it "
                "more time, or fewer or shorter documents"
            )
        if not self._live:
            return
        late = lateness([one.load(now) for one in self._live], newcomer, tokens_per_second, BESIDE)
        if late > 0:
            raise Overloaded(
                f"the request, or one that was here before it, would miss its deadline by about {duration(late)}",
                retry_after=max(RETRY_AFTER, late),
            )

    def close(self) -> None:
        """Let nobody in any more; who is in stays until answered."""
        self._open = False

    async def drained(self) -> None:
        """Wait until no request lives."""
        await self._empty.wait()
