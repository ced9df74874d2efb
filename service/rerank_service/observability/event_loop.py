"""The event loop of a server, with a measure of how long it is blocked, and with limits for the work of a turn.

While a callback runs, the loop handles nothing else: no new connection, no deadline, no health check. The time from the
moment when the loop has events until it waits for the next ones is how long such a thing may wait.

The loop is observed through its selector: a loop calls `select` once for each turn, and works between two calls. That
costs three readings of clocks and no timer: 2 µs per turn, where one of asyncio takes 3. If `select` returns later than
its timeout, the difference counts too: then another thread held the interpreter's lock, or other processes had the CPU.

A loop handles all events that `select` returns in one turn. When a thousand clients connect again at once, that would
be a third of a second, so `select` returns them in parts. The same holds for timers that are due.
"""

import asyncio
import selectors
import time
from collections.abc import Callable
from contextvars import Context
from typing import TypeVarTuple, Unpack

from rerank_service.observability.loop_turns import LoopTurns
from rerank_service.paced_calls import PacedCalls

MAX_EVENTS = 8
"""Maximum number of events of a turn: of sockets that can be read or written."""
MAX_TIMERS = 8
"""Maximum number of timers that run in a turn."""

Events = list[tuple[selectors.SelectorKey, int]]
Arguments = TypeVarTuple("Arguments")


class _ObservedSelector(selectors.DefaultSelector):
    """A selector that counts the time between its calls, and the time by which it returns too late. It returns a large
    number of events in parts."""

    def __init__(self, turns: LoopTurns, clock: Callable[[], float], cpu_clock: Callable[[], float]) -> None:
        super().__init__()
        self._turns = turns
        self._clock, self._cpu_clock = clock, cpu_clock
        self._cpu = 0.0
        """CPU time at the last call. The few microseconds of `select` itself count as those of the turn."""
        self._returned: float | None = None
        self._late = 0.0
        self._waiting: Events = []
        """Events that later calls return."""

    def select(self, timeout: float | None = None) -> Events:
        """Wait for events."""
        called, cpu = self._clock(), self._cpu_clock()
        if self._returned is not None:
            self._turns.count(called - self._returned + self._late, cpu - self._cpu)
        self._cpu = cpu
        self._late = 0.0
        if self._waiting:
            self._returned = called
            return self._part()
        events = super().select(timeout)
        self._returned = self._clock()
        # selectors round a timeout up to the next millisecond
        if not events and timeout is not None and timeout > 0:
            self._late = max(0.0, self._returned - called - timeout - 0.001)
        if len(events) <= MAX_EVENTS:
            return events
        self._waiting = events
        return self._part()

    def _part(self) -> Events:
        """Return the next events that wait, without those of files that the loop does not watch any more, or watches in
        another way: they are found again."""
        part, self._waiting = self._waiting[:MAX_EVENTS], self._waiting[MAX_EVENTS:]
        watched = self.get_map()
        return [(key, mask) for key, mask in part if watched.get(key.fd) is key]


class _Timer:
    """A callback that is due at a time."""

    __slots__ = ("_call", "handle")

    def __init__(self, callback: Callable[..., object], arguments: tuple[object, ...]) -> None:
        self._call: tuple[Callable[..., object], tuple[object, ...]] | None = (callback, arguments)
        self.handle: asyncio.TimerHandle | None = None
        """The handle of the owner, who may cancel it. Set before the timer is due."""

    def run(self) -> None:
        """Run the callback, unless the timer was cancelled after it was due."""
        handle, self.handle = self.handle, None  # they refer to each other
        call, self._call = self._call, None  # it may refer to an owner who keeps the handle
        if call is not None and handle is not None and not handle.cancelled():
            callback, arguments = call
            callback(*arguments)


class ObservedLoop(asyncio.SelectorEventLoop):
    """An event loop that counts how long its turns take, and limits their work."""

    def __init__(
        self, clock: Callable[[], float] = time.perf_counter, cpu_clock: Callable[[], float] = time.thread_time
    ) -> None:
        """Both clocks return seconds. `cpu_clock` is that of the calling thread."""
        self.turns = LoopTurns()
        self._due = PacedCalls(self, MAX_TIMERS)
        super().__init__(_ObservedSelector(self.turns, clock, cpu_clock))

    def call_at(
        self,
        when: float,
        callback: Callable[[Unpack[Arguments]], object],
        *args: *Arguments,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """Run a callback at a time of the loop's clock, or a few turns later."""
        timer = _Timer(callback, args)
        timer.handle = super().call_at(when, self._due.add, timer.run, context=context)
        return timer.handle


def running_turns() -> LoopTurns | None:
    """Return the turns of the running event loop; None if it is not an observed one."""
    loop = asyncio.get_running_loop()
    return loop.turns if isinstance(loop, ObservedLoop) else None
