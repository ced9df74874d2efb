"""When a request that takes a part of its ranking is answered with what there is."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rerank_service.scheduling.deadline import Deadline

ALLOWANCE = 0.5
"""Seconds. A timeout travels as a duration, so our deadline is later than the client's by its message's way to us, and
the answer needs the way back: together a round trip, 0.3 s between continents; the rest is for a busy event loop."""
BYTES_PER_SECOND = 1e6
"""Of a slow network (8 Mbit/s), which making the answer is fast beside: 4 µs a result, and 10 times that to send it."""
MOST = 0.25
"""The share of a request's time that may be kept back, so that a short one has most of its time for scoring."""


def margin(seconds: float, answer_bytes: int) -> float:
    """How long before its deadline a request that has so many seconds must be answered."""
    return max(0.0, min(MOST * seconds, ALLOWANCE + answer_bytes / BYTES_PER_SECOND))


class Cutoff:
    """Cuts a request short in time for its answer to reach the client."""

    def __init__(self, deadline: Deadline) -> None:
        self._loop = asyncio.get_running_loop()
        self._deadline = deadline
        self._seconds = deadline.at - self._loop.time()
        self._cut: Callable[[], None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    @contextmanager
    def armed(self, cut: Callable[[], None]) -> Iterator[None]:
        """Call `cut` when it is time, if the block has not ended by then."""
        self._cut = cut
        self.expect(0)
        try:
            yield
        finally:
            self._cut = None
            self._disarm()

    def expect(self, answer_bytes: int) -> None:
        """The answer will have about so many bytes."""
        self._disarm()
        at = self._deadline.at - margin(self._seconds, answer_bytes)
        self._timer = self._loop.call_at(at, self.cut)

    def cut(self) -> None:
        """Now."""
        if self._cut is not None:
            self._cut()

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
