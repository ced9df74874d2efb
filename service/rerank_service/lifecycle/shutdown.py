"""The end of a server, by a signal: before it is ready at once; later what is in flight is answered first, within a
grace or until somebody is in a hurry."""

import asyncio
import signal
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import structlog

from rerank_service.lifecycle.background import aside
from rerank_service.scheduling.admission import Admission

_log = structlog.get_logger()

T = TypeVar("T")
Signals = asyncio.Queue[signal.Signals]


def stop_signals() -> Signals:
    """Each SIGTERM and SIGINT from now on: the first asks to drain, the second to make haste."""
    loop = asyncio.get_running_loop()
    signals: asyncio.Queue[signal.Signals] = asyncio.Queue()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, signals.put_nowait, number)
    return signals


async def unless_stopped(stop: Signals, load: Callable[[], T]) -> T | None:
    """Load in a thread; None if a signal comes before that is done."""
    loaded = aside(load)
    signalled = asyncio.create_task(stop.get())
    waiting: list[asyncio.Future[Any]] = [loaded, signalled]
    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    if signalled.done():
        loaded.cancel()
        return None
    signalled.cancel()
    return loaded.result()


@dataclass(frozen=True, slots=True)
class ShutdownTimeouts:
    """How long an end may take."""

    delay: float
    """Seconds in which requests still come, since not everybody knows yet."""
    grace: float
    """Seconds after that, for all that is in flight."""


class Edge(Protocol):
    """What listens."""

    async def stop(self, grace: float) -> None:
        """End when the requests that are here have ended, or the grace has."""


async def drain(admission: Admission, edges: Sequence[Edge], stop: Signals, patience: ShutdownTimeouts) -> None:
    """Answer what is in flight, and see the answers out, within one grace for all or until a second signal."""
    _log.info("draining", requests=admission.live_requests, grace=patience.grace)
    hurry = asyncio.create_task(stop.get())
    await asyncio.wait([hurry], timeout=patience.delay)
    admission.close()
    ends = asyncio.get_running_loop().time() + patience.grace
    if not await _before(hurry, admission.drained(), ends):
        _log.warning("grace is over", requests=admission.live_requests)
    left = 0.0 if hurry.done() else max(0.0, ends - asyncio.get_running_loop().time())
    await asyncio.gather(*(_before(hurry, edge.stop(left), ends) for edge in edges))
    hurry.cancel()


async def _before(hurry: asyncio.Task[signal.Signals], work: Coroutine[Any, Any, None], ends: float) -> bool:
    """Whether the work was done before a second signal, and before its time was over."""
    task = asyncio.create_task(work)
    left = max(0.0, ends - asyncio.get_running_loop().time())
    await asyncio.wait([hurry, task], timeout=left, return_when=asyncio.FIRST_COMPLETED)
    done = task.done()
    task.cancel()
    await asyncio.wait([task])
    return done
