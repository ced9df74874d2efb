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
        self._left = most
        """Number of calls that may run before the next `_turn`."""
        self._turn_scheduled = False

    def add(self, call: Call) -> None:
        """Run a call in the next turn, or in the first that has room, in the present context. Called on the loop."""
        self._waiting.append((call, copy_context()))
        self._schedule_turn()

    def add_threadsafe(self, calls: Iterable[Call]) -> None:
        """Run calls from another thread: as soon as the loop wakes up, or in the first turns that have room."""
        self._loop.call_soon_threadsafe(self._add_all, calls)

    def run_all(self) -> None:
        """Run all waiting calls now. Called on the loop."""
        while self._waiting:
            call, context = self._waiting.popleft()
            context.run(call)

    def _add_all(self, calls: Iterable[Call]) -> None:
        at_once = not self._turn_scheduled  # else `_turn` may follow in this turn, and would run as many again
        for call in calls:
            self.add(call)
        if at_once:
            self._run()

    def _schedule_turn(self) -> None:
        if not self._turn_scheduled:
            self._turn_scheduled = True
            self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        self._turn_scheduled = False
        self._left = self._most
        self._run()

    def _run(self) -> None:
        """Run waiting calls, as many as this turn has room for."""
        while self._waiting and self._left:
            self._left -= 1
            call, context = self._waiting.popleft()
            try:
                context.run(call)
            except Exception as error:  # noqa: BLE001 - as asyncio does it for each of its own calls
                self._loop.call_exception_handler({"message": f"Exception in callback {call}", "exception": error})
        if self._waiting or self._left < self._most:  # the next turn has room for all again
            self._schedule_turn()
