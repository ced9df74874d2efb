"""Timers of an event loop, of which each turn runs a few.

A loop runs all timers that are due in one turn. Clients that connected together are late together, and to close a
connection, or to end a request at its deadline, takes about a millisecond: hundreds of them would block the loop.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from contextvars import Context, copy_context

MAX_TIMERS = 8
"""Maximum number of timers that run in a turn."""


class Timer:
    """A callback that is due at a time."""

    __slots__ = ("_arguments", "_callback", "handle")

    def __init__(self, callback: Callable[..., object], arguments: tuple[object, ...]) -> None:
        self._callback = callback
        self._arguments = arguments
        self.handle: asyncio.TimerHandle | None = None
        """What the owner cancels. Set before the timer is due."""

    def run(self) -> None:
        """Run the callback, unless the timer was cancelled after it was due."""
        handle, self.handle = self.handle, None  # they refer to each other
        if handle is not None and not handle.cancelled():
            self._callback(*self._arguments)


class DueTimers:
    """Runs due timers in their order, a few in each turn of a loop, and each in the context of its `call_at`."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._next_turn = 0
        """Number of timers that run in the next turn."""
        self._later: deque[tuple[Timer, Context]] = deque()

    def add(self, timer: Timer) -> None:
        """Run a timer in the next turn, or in the first that has room. Called in its context."""
        if self._next_turn < MAX_TIMERS:
            self._next_turn += 1
            self._loop.call_soon(self._run, timer)
        else:
            self._later.append((timer, copy_context()))

    def _run(self, timer: Timer) -> None:
        try:
            timer.run()
        finally:  # the loop reports an error of the callback
            if self._later:
                following, context = self._later.popleft()
                self._loop.call_soon(self._run, following, context=context)
            else:
                self._next_turn -= 1
