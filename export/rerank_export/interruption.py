"""Clean-up when the process is asked to end (SIGTERM by CI or Docker, SIGHUP by a session that is closed, Ctrl-C): the
work folder is removed first."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from rerank_export.bundle.output_folder import remove_work_folders

_ENDING = (signal.SIGTERM, signal.SIGHUP)
"""Signals that end the process after the grace period."""
GRACE_SECONDS = 5.0
"""Time after such a signal for Python code to end by itself. Docker kills a process after ten seconds."""


@contextmanager
def clean_up_on_signals() -> Iterator[None]:
    """Turn SIGTERM and SIGHUP into SystemExit and SIGINT into KeyboardInterrupt, also if a library hides them in an
    error."""
    received: list[int] = []

    def stop(number: int, _: object) -> None:
        received.append(number)
        raise _exit(number)

    with ExitStack() as restore:
        for number in (*_ENDING, signal.SIGINT):
            # a background job of a shell ignores SIGINT, and nohup makes a process ignore SIGHUP
            if signal.getsignal(number) is not signal.SIG_IGN:
                restore.callback(signal.signal, number, signal.signal(number, stop))
        try:
            with _forced_after_grace_period():
                yield
        except Exception:
            if received:
                raise _exit(received[0]) from None
            raise


def _exit(number: int) -> BaseException:
    return KeyboardInterrupt() if number == signal.SIGINT else SystemExit(128 + number)  # the exit status of shells


@contextmanager
def _forced_after_grace_period() -> Iterator[None]:
    """Watch for SIGTERM and SIGHUP on a thread and end the process after the grace period.

    Native code may run for minutes, and no Python signal handler runs before it returns.
    """
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    before = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    over = threading.Event()

    def watch() -> None:
        while number := os.read(reader, 1):
            if number[0] in _ENDING and not over.wait(GRACE_SECONDS):
                remove_work_folders()
                os._exit(128 + number[0])
        os.close(reader)

    threading.Thread(target=watch, name="signal-watch", daemon=True).start()
    try:
        yield
    finally:
        over.set()
        signal.set_wakeup_fd(before)
        os.close(writer)
