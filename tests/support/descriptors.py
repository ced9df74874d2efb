"""A process without free file descriptors."""

import gc
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def no_free_descriptors() -> Iterator[None]:
    """Let each open of a file fail during the block (EMFILE). The status of a file can still be read.

    The collector does not run: it could close a file, and with that free a descriptor.
    """
    gc.collect()
    gc.disable()
    free = os.open(os.devnull, os.O_RDONLY)  # the lowest free number
    os.close(free)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        gc.enable()
