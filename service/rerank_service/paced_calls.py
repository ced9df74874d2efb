"""Calls of which an event loop runs a few in each turn.

A loop runs everything that is ready in one turn. A batch ends for a hundred requests at once, and clients that
connected together are late together. Each of these calls lets a request go on, or closes a connection, which takes
about a millisecond. If all of them ran in one turn, new connections, deadlines and health checks would wait for a tenth
of a second.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from contextvars import Context, copy_context

Call = Callable[[], object]


class PacedCalls:
    """Runs calls in their order, a few in each turn of a loop. An error of a call goes to the loop's handler."""

    def __init__(self, loop: asyncio.AbstractEventLoop, most: int) -> None:
        """`most` is the maximum number of calls in a turn."""
        self._loop = loop
        self._most = most
        self._waiting: deque[tuple[Call, Context]] = deque()
        self._runs = 0
        """Number of runs that the loop has scheduled, each of one call."""

    def add(self, call: Call) -> None:
        """Run a call in the next turn, or in the first that has room, in the present context. Called on the loop."""
        self._waiting.append((call, copy_context()))
        self._schedule()

    def add_threadsafe(self, calls: Iterable[Call]) -> None:
        """Add calls from another thread."""
        self._loop.call_soon_threadsafe(self._add_all, calls)

    def run_all(self) -> None:
        """Run all waiting calls now. Called on the loop."""
        while self._waiting:
            call, context = self._waiting.popleft()
            context.run(call)

    def _add_all(self, calls: Iterable[Call]) -> None:
        for call in calls:
            self.add(call)

    def _schedule(self) -> None:
        if self._runs < min(self._most, len(self._waiting)):
            self._runs += 1
            self._loop.call_soon(self._run)

    def _run(self) -> None:
        self._runs -= 1
        if not self._waiting:  # after `run_all`
            return
        call, context = self._waiting.popleft()
        try:
            context.run(call)
        finally:
            self._schedule()
