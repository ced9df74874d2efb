"""Format and destination of the log."""

import io
import logging
import os
import select
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Literal, TextIO

import structlog

from rerank_service.observability.console_lines import for_people
from rerank_service.observability.tracebacks import Tracebacks

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


_PATIENCE = 0.1
"""Seconds that a line waits for a slow reader of the log. Requests wait, too: lines are written on the event loop."""

_EVENT_WIDTH = 16
"""Characters of the events on a terminal: those of `request finished`."""


class _LossyFile(io.FileIO):
    """A file that drops bytes it cannot write: a log without a reader, or with one that hangs, loses lines, and no
    request fails.

    It is not buffered, because a buffer that cannot be flushed at exit changes the exit status.
    """

    _stuck = False
    _torn = False
    _held: list[bytes] | None = None

    def hold(self) -> None:
        """Keep the lines in memory until `release`."""
        self._held = []

    def release(self) -> None:
        """Write the lines that were kept, and hold no others."""
        held, self._held = self._held, None
        for line in held or ():
            self.write(line)

    def write(self, content: "ReadableBuffer") -> int:
        """Write as much as possible, and report that everything was written."""
        line = memoryview(content).cast("B")
        if self._held is not None:
            self._held.append(bytes(line))
            return line.nbytes
        with suppress(OSError):
            # a pipe with any room takes PIPE_BUF bytes at once, without waiting
            for start in range(0, len(line), select.PIPE_BUF):
                if not self._has_room():
                    self._torn = self._torn or start > 0
                    break
                if self._torn and start == 0:
                    super().write(b"\n")
                    self._torn = False
                super().write(line[start : start + select.PIPE_BUF])
        return line.nbytes

    def _has_room(self) -> bool:
        """Wait for room. While the reader hangs, do not wait again for each line."""
        poll = select.poll()
        poll.register(self.fileno(), select.POLLOUT)
        self._stuck = not poll.poll(0 if self._stuck else _PATIENCE * 1000)
        return not self._stuck


@contextmanager
def held_log(log: TextIO, *, holds: bool) -> Iterator[Callable[[], None]]:
    """Hold the lines of a log, the stream of `configure_logging`, until the block ends or calls the function that it
    gets. So the output for people comes first, where both go to one place. With `holds` false, nothing is held."""
    raw = log.buffer if isinstance(log, io.TextIOWrapper) else None
    if not (holds and isinstance(raw, _LossyFile)):
        yield lambda: None
        return
    raw.hold()
    try:
        yield raw.release
    finally:
        raw.release()


def configure_logging(form: Literal["auto", "console", "json"], level: str, *, texts: bool = False) -> TextIO:
    """Log to stderr, including the logs of libraries. Return the stream.

    Args:
        form: `console` for people, `json` for one JSON object per line, `auto` for `console` if stderr is a terminal.
        level: minimum level of log lines, such as `info`. Libraries log from `warning` at the least.
        texts: show the messages of errors that may quote a caller.
    """
    stream = _stderr()
    console = form == "console" or (form == "auto" and stream.isatty())
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="%H:%M:%S" if console else "iso", utc=not console),
        structlog.processors.StackInfoRenderer(),
    ]
    render: list[structlog.typing.Processor] = (
        [
            for_people,
            structlog.dev.ConsoleRenderer(
                _EVENT_WIDTH, sort_keys=False, exception_formatter=structlog.dev.plain_traceback
            ),
        ]
        if console
        else [structlog.processors.JSONRenderer()]
    )
    structlog.configure(
        processors=[*shared, Tracebacks(as_text=console, texts=texts), *render],
        cache_logger_on_first_use=True,
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(stream),
    )
    of_libraries = Tracebacks(as_text=console, from_library=True, texts=texts)
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, of_libraries, *render],
            foreign_pre_chain=shared,
        )
    )
    logging.captureWarnings(capture=True)
    of_library = max(logging.WARNING, logging.getLevelNamesMapping()[level.upper()])
    logging.basicConfig(handlers=[handler], level=of_library, force=True)
    return stream


def log_by_standard_library() -> None:
    """Send our log lines to the logger `rerank_service` of the module logging, unless structlog is configured already.

    For programs that use the package as a library: structlog alone would print every line to stdout.
    """
    if structlog.is_configured():
        return
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.processors.format_exc_info,
            structlog.processors.KeyValueRenderer(key_order=["event"]),
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
    )


def _stderr() -> TextIO:
    if sys.stderr is None:  # by `2>&-`; descriptor 2 may then belong to any other file
        file = _LossyFile(os.devnull, "w")
    else:
        try:
            file = _LossyFile(sys.stderr.fileno(), "w", closefd=False)
        except io.UnsupportedOperation:  # a notebook or a test captures it
            return sys.stderr
    return io.TextIOWrapper(file, "utf-8", errors="backslashreplace", write_through=True)
