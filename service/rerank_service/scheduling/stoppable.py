"""Blocking calls that end early when their request ends.

A thread cannot be stopped from outside. So a call with much work asks between its steps, by `check_stopped`.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

T = TypeVar("T")

_STOPPED: ContextVar[threading.Event | None] = ContextVar("stopped", default=None)


class CallStopped(Exception):
    """The request that made this call has ended."""


def check_stopped() -> None:
    """Do nothing, unless this call was stopped.

    Raises:
        CallStopped: the request that made this call has ended.
    """
    stopped = _STOPPED.get()
    if stopped is not None and stopped.is_set():
        raise CallStopped


@contextmanager
def stopped_by(event: threading.Event) -> Iterator[None]:
    """Stop the calls in this block, on this thread, when the event is set."""
    token = _STOPPED.set(event)
    try:
        yield
    finally:
        _STOPPED.reset(token)


def stoppable(call: Callable[[], T], event: threading.Event) -> T:
    """Run a call that the event stops."""
    with stopped_by(event):
        check_stopped()
        return call()
