"""Native libraries' own log lines, which go to the process's stderr and belong in no JSON log.

onnxruntime logs an error that it also raises, so nothing is lost: the exception says the same.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

FATAL = 4
"""onnxruntime's severity that logs nothing but what ends the process."""
_STDERR = 2


@contextmanager
def discarded() -> Iterator[None]:
    """Discard all output to the process's stderr, by any thread, while the block runs.

    Needed where a library logs before its log level can be set: onnxruntime looks for GPUs when it is imported.
    """
    try:
        kept = os.dup(_STDERR)
    except OSError:  # stderr is closed, as `2>&-` leaves it
        yield
        return
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, _STDERR)
        os.close(nowhere)
        yield
    finally:
        os.dup2(kept, _STDERR)
        os.close(kept)
