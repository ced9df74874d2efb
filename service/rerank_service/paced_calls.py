"""Calls of which an event loop runs a few in each turn.

A loop runs everything that is ready in one turn. A batch ends for a hundred requests at once, and clients that connected
together are late together. Each of these calls lets a request go on, or closes a connection, which takes about a
millisecond. If all of them ran in one turn, new connections, deadlines and health checks would wait for a tenth of a
second.
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
        self._next_turn = 0
        """Number of calls in the next turn."""
        self._later: deque[tuple[Call, Context]] = deque()

    def add(self, call: Call) -> None:
        """Run a call in the next turn, or in the first that has room, in the present context. Called on the loop."""
        if self._next_turn < self._most:
            self._next_turn += 1
            self._loop.call_soon(self._run, call)
        else:
            self._later.append((call, copy_context()))

    def add_threadsafe(self, calls: Iterable[Call]) -> None:
        """Add calls from another thread."""
        self._loop.call_soon_threadsafe(self._add_all, calls)

    def _add_all(self, calls: Iterable[Call]) -> None:
        for call in calls:
            self.add(call)

    def _run(self, call: Call) -> None:
        try:
            call()
        finally:
            if self._later:
                following, context = self._later.popleft()
                self._loop.call_soon(self._run, following, context=context)
            else:
                self._next_turn -= 1
