"""Blocking work beside the event loop that nobody has to wait for."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")

_NAME = "aside"


def aside(work: Callable[[], T]) -> asyncio.Future[T]:
    """What a thread makes of some work.

    The thread is a daemon: a process that was told to end does not wait for gigabytes to be read.
    """
    loop = asyncio.get_running_loop()
    outcome: asyncio.Future[T] = loop.create_future()

    def run() -> None:
        try:
            result = work()
        except BaseException as error:  # noqa: BLE001 - raised again where the future is awaited
            tell(outcome.set_exception, error)
        else:
            tell(outcome.set_result, result)

    def tell(settle: Callable[..., None], what: object) -> None:
        with suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(lambda: None if outcome.cancelled() else settle(what))

    threading.Thread(target=run, name=_NAME, daemon=True).start()
    return outcome


def abandoned() -> bool:
    """Whether such work goes on still. A process that ends then must end at once: native code in the midst of reading
    a model takes the interpreter's own way to end for a fault, and aborts."""
    return any(thread.name == _NAME for thread in threading.enumerate())
