"""Silence for the libraries: their warnings address people who write models, not people who export one."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import structlog


@contextmanager
def silence_libraries() -> Iterator[None]:
    """Suppress Python warnings and log records up to WARNING, also those of our own graph rewriting.

    Most of the Python warnings come from torch's tracer, about constants in the code of transformers.
    """
    before = logging.root.manager.disable
    own = structlog.get_config()
    logging.disable(logging.WARNING)  # transformers and optimum reset the levels of their loggers when imported
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
        structlog.configure(**own)
