"""End the process if a batch hangs in native code, such as a driver that waits for a lost device.

No code of Python can end such a batch. Its requests end at their deadlines, but its lane is lost, and a shutdown would
wait for it. So all live requests end with an error, and the process ends, with the stacks of all threads in the log.
The system that runs it starts it again.

A thread watches, because a hung batch also blocks the end of the event loop.
"""

import faulthandler
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NoReturn

import structlog

from rerank_service.scheduling.lane_pool import LaneFailed, LanePool, LanePools

_log = structlog.get_logger()

_LOOKS = 10
"""Minimum number of looks at a batch before it counts as hung."""
_MAX_INTERVAL_SECONDS = 1.0
_RESPONSE_SECONDS = 2.0
"""Time in which the errors are sent to the callers, before the process ends."""


@dataclass(frozen=True, slots=True)
class HungBatch:
    """A batch that does not end."""

    pool: LanePool
    lane: int
    seconds: float


class BatchWatch:
    """Adds up how long each batch has been running. Used by one thread."""

    def __init__(self, pools: Callable[[], Sequence[LanePool]], limit: float) -> None:
        """`limit`: seconds after which a batch counts as hung."""
        self._pools = pools
        self._limit = limit
        self._seconds: dict[tuple[LanePool, int, int], float] = {}
        self.interval = min(_MAX_INTERVAL_SECONDS, limit / _LOOKS)
        """Seconds between two looks."""

    def look(self, since: float) -> HungBatch | None:
        """Return a batch that has reached the limit. `since`: seconds since the last look.

        A longer time than two intervals does not count: the process stood still (SIGSTOP, a frozen container).
        """
        passed = min(since, 2 * self.interval)
        running = [(pool, lane, batch) for pool in self._pools() for lane, batch in pool.running().items()]
        self._seconds = {each: self._seconds[each] + passed if each in self._seconds else 0.0 for each in running}
        for (pool, lane, _), seconds in self._seconds.items():
            if seconds >= self._limit:
                return HungBatch(pool, lane, seconds)
        return None


@contextmanager
def watching_batches(pools: LanePools, limit: float) -> Iterator[None]:
    """End the process if a batch takes more than `limit` seconds during the block."""
    watch, stop = BatchWatch(pools.all, limit), threading.Event()
    thread = threading.Thread(target=_watch, args=(watch, stop), name="hung-batches", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _watch(watch: BatchWatch, stop: threading.Event) -> None:
    looked = time.monotonic()
    while not stop.wait(watch.interval):
        now = time.monotonic()
        hung = watch.look(now - looked)
        if hung is not None:
            _give_up(hung)
        looked = now


def _give_up(hung: HungBatch) -> NoReturn:
    """End all live requests, and then the process: its own end would wait for the thread of the batch."""
    why = f"a batch on lane {hung.lane} has been running for {hung.seconds:.0f} s: it hangs in native code"
    _log.critical("batch hangs", why=why)
    if sys.__stderr__ is not None:
        faulthandler.dump_traceback(sys.__stderr__)
    try:
        hung.pool.fail(hung.lane, LaneFailed(why))
    finally:
        time.sleep(_RESPONSE_SECONDS)
        os._exit(1)
