"""Format and destination of the log."""

import io
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal, TextIO

import structlog

from rerank_service.lossy_stderr import LossyFile, lossy_stderr
from rerank_service.observability.console_lines import for_people
from rerank_service.observability.tracebacks import Tracebacks

_EVENT_WIDTH = 16
"""Characters of the events on a terminal: those of `request finished`."""


@contextmanager
def held_log(log: TextIO, *, holds: bool) -> Iterator[Callable[[], None]]:
    """Hold the lines of a log, the stream of `configure_logging`, until the block ends or calls the function that it
    gets. So the output for people comes first, where both go to one place. With `holds` false, nothing is held."""
    raw = log.buffer if isinstance(log, io.TextIOWrapper) else None
    if not (holds and isinstance(raw, LossyFile)):
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
    stream = lossy_stderr()
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
