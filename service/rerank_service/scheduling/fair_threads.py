"""Threads for blocking calls, such as those of the tokenizers, that models share fairly.

A pool of threads alone is first-in, first-out: a burst of large requests for one model would delay the requests of all
others. Here each group, such as a model, has a queue of its own, and may always run one call. Further threads are given
to the groups in turn.
"""

import asyncio
import threading
from collections import Counter, deque
from collections.abc import Callable
from types import TracebackType
from typing import Self, TypeVar

from rerank_service.scheduling.started_threads import started_threads
from rerank_service.scheduling.stoppable import stoppable

_MAX_GROUPS = 16
"""Maximum number of groups that always have a thread. The calls of further ones may wait for others."""

T = TypeVar("T")


class FairThreads:
    """A pool of threads with a queue for each group. Used on the event loop only."""

    def __init__(self, threads: int, name: str) -> None:
        """`threads` is the number of calls that run at once, beyond the first call of each group. `name` is the prefix
        of the names of threads."""
        self._pool = started_threads(threads + _MAX_GROUPS, name)
        self._threads = threads
        self._running: Counter[str] = Counter()
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}
        """The groups with waiting calls, in the order of their turns."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wait until all calls have ended, and end the threads."""
        self._pool.shutdown()

    async def run(self, group: str, call: Callable[[], T]) -> T:
        """Run a blocking call in a thread, and return its result or raise its error. Calls of one group start in order.

        If the caller is cancelled, a call that has not started never runs, and another one ends at its next
        `check_stopped`.
        """
        loop = asyncio.get_running_loop()
        await self._thread(group)
        stopped = threading.Event()
        ended: asyncio.Future[None] = loop.create_future()
        running = self._pool.submit(stoppable, call, stopped)
        # not when the caller is cancelled: the call may run on for a moment, and holds the thread until it ends
        running.add_done_callback(lambda _: loop.call_soon_threadsafe(self._end, group, ended))
        try:
            await ended
            return running.result()
        finally:
            stopped.set()
            running.cancel()  # if no thread has started it
            # the traceback of its error refers to this frame. If the frame referred to the future, which has the error,
            # only the garbage collector would free them
            del running

    def _end(self, group: str, ended: asyncio.Future[None]) -> None:
        """Release the thread of a call that has ended, and wake its caller, unless it was cancelled."""
        self._release(group)
        if not ended.done():
            ended.set_result(None)

    async def _thread(self, group: str) -> None:
        """Wait for a thread."""
        if self._may_run(group):
            self._running[group] += 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(group, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # the thread was given to this call at the same time
                self._release(group)
            raise

    def _may_run(self, group: str) -> bool:
        return not self._running[group] or self._running.total() < self._threads

    def _release(self, group: str) -> None:
        """Give the thread of a call that has ended to the next call."""
        self._running[group] -= 1
        entitled = (group,) if group in self._waiting and not self._running[group] else ()
        for waiting in (*entitled, *self._waiting):
            if waiting in self._waiting and self._may_run(waiting) and self._start(waiting):
                return

    def _start(self, group: str) -> bool:
        """Start the next call of a group that waits. Return False if all of them are cancelled."""
        calls = self._waiting.pop(group)
        started = False
        while calls and not started:
            turn = calls.popleft()
            if not turn.done():
                self._running[group] += 1
                turn.set_result(None)
                started = True
        if calls:
            self._waiting[group] = calls  # the other groups come first next time
        return started
