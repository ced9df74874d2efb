"""Silence for the libraries: what they say on the way is for those who write models, not for those who export one."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import structlog


@contextmanager
def quiet() -> Iterator[None]:
    """No warnings, neither of Python (the tracer's, of constants in transformers' own code) nor in a log."""
    before = logging.root.manager.disable
    own = structlog.get_config()
    logging.disable(logging.WARNING)  # not a logger's level: transformers and optimum set theirs when imported
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())  # rewriting a graph logs what it found
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
        structlog.configure(**own)
