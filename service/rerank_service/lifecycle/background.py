"""Blocking work in a daemon thread, which the end of the process does not wait for."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from operator import methodcaller
from typing import TypeVar

from rerank_service.rust_panics import panics_as_errors
from rerank_service.thread_priority import give_way

T = TypeVar("T")

_THREAD_NAME = "background"


def run_in_background(work: Callable[[], T]) -> asyncio.Future[T]:
    """Run blocking work in a daemon thread, and return a future of its result or exception.

    A daemon thread does not delay the end of the process, for example while it reads a model of several gigabytes. It
    gives way to the event loop, as do the threads that it starts, such as those that OpenVINO computes on.

    Raises:
        RuntimeError: the system starts no further thread.
    """
    loop = asyncio.get_running_loop()
    outcome: asyncio.Future[T] = loop.create_future()
    # in lists, so that the thread refers to none of them when the future is done: a result may be a large model
    given: list[Callable[[], T]] = [work]
    ended: list[Callable[[asyncio.Future[T]], None]] = []
    awaited = [outcome]

    def run() -> None:
        give_way()
        ended.append(_attempt(given.pop()))
        with suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(settle)

    def settle() -> None:
        set_outcome, future = ended.pop(), awaited.pop()
        if not future.cancelled():
            set_outcome(future)

    threading.Thread(target=run, name=_THREAD_NAME, daemon=True).start()
    return outcome


def _attempt(work: Callable[[], T]) -> Callable[[asyncio.Future[T]], None]:
    """Do work. Return a function that gives a future its result or exception.

    The traceback of the exception refers to this function, and not to the future, which refers to the exception. So
    the memory of failed work is freed without the garbage collector.
    """
    try:
        with panics_as_errors():
            return methodcaller("set_result", work())
    except BaseException as error:  # noqa: BLE001 - raised again where the future is awaited
        return methodcaller("set_exception", error)


def background_work_is_running() -> bool:
    """Return True while a background thread is alive.

    The process must then end with `os._exit`: native code that is loading a model may abort during interpreter
    shutdown.
    """
    return any(thread.name == _THREAD_NAME for thread in threading.enumerate())
