"""End a request with a partial ranking early enough for the response to reach the client before its deadline."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rerank_service.scheduling.deadline import Deadline

ROUND_TRIP_SECONDS = 0.5
"""Time reserved for the network. A timeout travels as a duration, so the server's deadline is later than the client's
by the time that the request needed; the response needs the way back. A round trip between continents takes 0.3 s; the
rest is for a busy event loop."""
SLOW_NETWORK_BYTES_PER_SECOND = 1e6
"""Speed of a slow network (8 Mbit/s). Building the response is fast beside it: 4 µs for a result, and 10 times that to
send it."""
MAX_RESERVED_SHARE = 0.25
"""Maximum share of a request's time that is reserved, so that a short request has most of its time for scoring."""


def reserved_seconds(timeout: float, response_bytes: int) -> float:
    """Return how long before its deadline a request must end to send its response.

    `timeout` is the time in seconds between the arrival of the request and its deadline.
    """
    needed = ROUND_TRIP_SECONDS + response_bytes / SLOW_NETWORK_BYTES_PER_SECOND
    return max(0.0, min(MAX_RESERVED_SHARE * timeout, needed))


class Cutoff:
    """Ends one request before its deadline, so that its partial ranking arrives in time. Used on the event loop."""

    def __init__(self, deadline: Deadline) -> None:
        self._loop = asyncio.get_running_loop()
        self._deadline = deadline
        self._timeout = deadline.at - self._loop.time()
        self._end: Callable[[], None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    @contextmanager
    def arm(self, end: Callable[[], None]) -> Iterator[None]:
        """Call `end` at the cutoff, unless the block ends first."""
        self._end = end
        self.reserve_for(0)
        try:
            yield
        finally:
            self._end = None
            self._stop_timer()

    def reserve_for(self, response_bytes: int) -> None:
        """Set the timer again, so that time remains to send a response of this size.

        End the request at once if that time has come. A timer would be late: the next call cancels it.
        """
        self._stop_timer()
        at = self._deadline.at - reserved_seconds(self._timeout, response_bytes)
        if at > self._loop.time():
            self._timer = self._loop.call_at(at, self.trigger)
        else:
            self.trigger()

    def trigger(self) -> None:
        """End the request now."""
        if self._end is not None:
            self._end()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
