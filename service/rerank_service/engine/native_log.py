"""Keep log lines of native libraries off stderr, where the server writes its own log.

No information is lost: onnxruntime logs an error and raises it as an exception with the same text.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

FATAL = 4
"""Log severity of onnxruntime at which only errors that end the process are logged."""
_STDERR = 2


@contextmanager
def discard_stderr() -> Iterator[None]:
    """Discard everything that any thread of the process writes to stderr while the block runs.

    This is for libraries that log before their log level can be set: onnxruntime searches for GPUs during its import.
    """
    try:
        original = os.dup(_STDERR)
    except OSError:  # stderr is closed, for example by `2>&-`
        yield
        return
    try:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, _STDERR)
        os.close(null)
        yield
    finally:
        os.dup2(original, _STDERR)
        os.close(original)
