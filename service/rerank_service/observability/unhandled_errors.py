"""Errors that nothing handles: in callbacks and tasks of the event loop, in threads, and in destructors.

Python would write them to stderr in its own form: several lines, with a `repr` of the error and of the task. They get
one line of the log, without the message of the error (tracebacks.py).
"""

import asyncio
import sys
import threading
from typing import TYPE_CHECKING, Any

import structlog

from rerank_service.observability.tracebacks import BY_CALLER

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

_log = structlog.get_logger()


def log_unhandled_errors(loop: asyncio.AbstractEventLoop) -> None:
    """From now on, log the errors of this loop, and of all threads and destructors of this process."""
    loop.set_exception_handler(_of_loop)
    threading.excepthook = _of_thread
    sys.unraisablehook = _of_destructor


def _of_loop(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    task = context.get("future") or context.get("task")
    name = getattr(task.get_coro(), "__qualname__", "") if isinstance(task, asyncio.Task) else ""
    _report(str(context["message"]).partition("\n")[0], context.get("exception"), task=name)


def _of_thread(arguments: threading.ExceptHookArgs) -> None:
    if arguments.exc_type is not SystemExit:
        name = arguments.thread.name if arguments.thread else ""
        _report("a thread has ended by an error", arguments.exc_value, thread=name)


def _of_destructor(arguments: "UnraisableHookArgs") -> None:
    name = getattr(arguments.object, "__qualname__", type(arguments.object).__qualname__)
    _report("an error was ignored", arguments.exc_value, source=name)


def _report(where: str, error: BaseException | None, **fields: str) -> None:
    given = {name: value for name, value in fields.items() if value}
    _log.error("unhandled error", where=where, **given, exc_info=error, **{BY_CALLER: True})
