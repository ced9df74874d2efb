"""Format and destination of the log."""

import io
import logging
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Literal, TextIO

import structlog

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


class _LossyFile(io.FileIO):
    """A file that drops bytes it cannot write: a log without a reader loses lines, and no request fails.

    It is not buffered, because a buffer that cannot be flushed at exit changes the exit status.
    """

    def write(self, content: "ReadableBuffer") -> int:
        """Write as much as possible, and report that everything was written."""
        with suppress(OSError):
            super().write(content)
        return memoryview(content).nbytes


def configure_logging(form: Literal["auto", "console", "json"], level: str) -> None:
    """Log to stderr, including the logs of libraries.

    Args:
        form: `console` for people, `json` for one JSON object per line, `auto` for `console` if stderr is a terminal.
        level: minimum level of our own log lines, such as `info`. Libraries log from `warning`.
    """
    stream = _stderr()
    console = form == "console" or (form == "auto" and stream.isatty())
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    # by default, structlog shows the local variables of each frame, and they may contain texts of callers
    without_locals = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
    render: list[structlog.typing.Processor] = (
        [structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]
        if console
        else [structlog.processors.ExceptionRenderer(without_locals), structlog.processors.JSONRenderer()]
    )
    structlog.configure(
        processors=[*shared, *render],
        cache_logger_on_first_use=True,
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(stream),
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *render], foreign_pre_chain=shared
        )
    )
    logging.captureWarnings(capture=True)
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)


def _stderr() -> TextIO:
    closed = sys.stderr is None  # by `2>&-`; descriptor 2 may then belong to any other file
    file = _LossyFile(os.devnull, "w") if closed else _LossyFile(sys.stderr.fileno(), "w", closefd=False)
    return io.TextIOWrapper(file, "utf-8", errors="backslashreplace", write_through=True)
