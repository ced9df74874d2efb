"""How log lines look."""

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
    """A file that loses what it cannot write, so that a log whose reader is gone costs a line, never a request.

    It has no buffer: what one held at the end would fail there again, and change the exit status.
    """

    def write(self, content: "ReadableBuffer") -> int:
        """Write what can be written, and claim that it was all."""
        with suppress(OSError):
            super().write(content)
        return memoryview(content).nbytes


def configure_logging(form: Literal["auto", "console", "json"], level: str) -> None:
    """Log to stderr: for people on a terminal, as JSON lines elsewhere. The libraries' own logs go the same way."""
    stream = _stderr()
    console = form == "console" or (form == "auto" and stream.isatty())
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    # structlog's own defaults show the local variables of each frame, and those hold what callers sent
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
    closed = sys.stderr is None  # as `2>&-` leaves it; the number 2 is then free for any file
    file = _LossyFile(os.devnull, "w") if closed else _LossyFile(sys.stderr.fileno(), "w", closefd=False)
    return io.TextIOWrapper(file, "utf-8", errors="backslashreplace", write_through=True)
