"""Graceful shutdown by SIGTERM or SIGINT.

Before the server is ready, a signal ends the start at once. After that, the server drains: it finishes the accepted
requests until the grace period is over or a second signal arrives.
"""

import asyncio
import signal
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import structlog

from rerank_service.scheduling.admissions import Admissions

T = TypeVar("T")

_log = structlog.get_logger()

_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
LAST_REJECTIONS_SECONDS = 0.05
"""Time after the last response in which new requests are still rejected, before the servers stop listening.

A caller may send its next request as soon as it has a response. gRPC ends calls that reach a stopping server with
CANCELLED, and most clients repeat UNAVAILABLE only (docs/decisions/0066)."""

StopSignals = asyncio.Queue[signal.Signals]
"""SIGTERM and SIGINT in order of arrival."""


def receive_stop_signals() -> StopSignals:
    """Return a queue of all SIGTERM and SIGINT from now on. The first starts to drain, the second ends the drain."""
    loop = asyncio.get_running_loop()
    signals: StopSignals = asyncio.Queue()
    for number in _STOP_SIGNALS:
        loop.add_signal_handler(number, signals.put_nowait, number)
    return signals


def ignore_stop_signals() -> None:
    """Ignore all SIGTERM and SIGINT from now on, so that a late one does not change the exit status."""
    loop = asyncio.get_running_loop()
    for number in _STOP_SIGNALS:
        loop.remove_signal_handler(number)
        signal.signal(number, signal.SIG_IGN)


async def run_unless_stopped(work: Coroutine[Any, Any, None], stop: Coroutine[Any, Any, object]) -> bool:
    """Run work until its end. Return False if `stop` ends before that; the work is then cancelled.

    Raises the error of the work.
    """
    task = asyncio.create_task(work)
    stopped = asyncio.create_task(stop)
    waiting: list[asyncio.Task[Any]] = [task, stopped]
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        if stopped.done():
            return False
        task.result()
        return True
    finally:
        for each in waiting:
            each.cancel()
        await asyncio.wait(waiting)


@asynccontextmanager
async def running_task(work: Coroutine[Any, Any, T]) -> AsyncIterator[asyncio.Task[T]]:
    """Run work as a task beside the block, and yield the task. If the block ends first, the work is cancelled."""
    task = asyncio.create_task(work)
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)  # an error of the work is raised where the task is awaited


@dataclass(frozen=True, slots=True)
class ShutdownTimeouts:
    """Times of a graceful shutdown, in seconds."""

    delay: float
    """Time in which new requests are still accepted: load balancers need it to notice that the server is not ready."""
    grace: float
    """Time after `delay` for all accepted requests."""


class Listener(Protocol):
    """A server of one protocol that listens on a port."""

    async def stop(self, grace: float) -> None:
        """Stop when all responses are sent, after `grace` seconds at the latest."""


async def drain(
    admissions: Admissions, listeners: Sequence[Listener], signals: StopSignals, timeouts: ShutdownTimeouts
) -> float:
    """Finish the accepted requests and send their responses, within one grace period or until a second signal.

    Return the seconds that are left of the grace period; 0 after a second signal.
    """
    _log.info("draining", live_requests=admissions.live_requests, grace_seconds=timeouts.grace)
    second_signal = asyncio.create_task(signals.get())
    await asyncio.wait([second_signal], timeout=timeouts.delay)
    admissions.close()
    clock = asyncio.get_running_loop().time
    end = clock() + timeouts.grace
    if not await _finishes(admissions.drained(), end, second_signal):
        _log.warning("grace period over", live_requests=admissions.live_requests)
    await asyncio.wait([second_signal], timeout=max(0.0, min(LAST_REJECTIONS_SECONDS, end - clock())))
    grace_left = 0.0 if second_signal.done() else max(0.0, end - clock())
    await asyncio.gather(*(_finishes(listener.stop(grace_left), end, second_signal) for listener in listeners))
    second_signal.cancel()
    return 0.0 if second_signal.done() else max(0.0, end - clock())


async def _finishes(work: Coroutine[Any, Any, None], end: float, second_signal: asyncio.Task[signal.Signals]) -> bool:
    """Return True if the work finishes before `end`, a time of the loop, and before the second signal."""
    task = asyncio.create_task(work)
    seconds_left = max(0.0, end - asyncio.get_running_loop().time())
    await asyncio.wait([second_signal, task], timeout=seconds_left, return_when=asyncio.FIRST_COMPLETED)
    finished = task.done()
    task.cancel()
    await asyncio.wait([task])
    return finished
