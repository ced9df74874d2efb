"""Files that the system writes when the process crashes. A core dump has the whole memory: texts of callers, and keys.

Reason: docs/decisions/0072-no-core-dumps.md.
"""

import faulthandler
import resource
import sys
from contextlib import suppress
from pathlib import Path

_FILTER = Path("/proc/self/coredump_filter")
"""Kinds of memory that a core dump has (man 5 core)."""
_NO_MEMORY = "0"


def prevent_core_dumps() -> None:
    """From now on, a crash writes no memory to a file. It writes the Python stack of each thread to stderr instead."""
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))
    # systems that pipe core dumps to a program, such as systemd-coredump, do not have to follow the limit
    with suppress(OSError):
        _FILTER.write_text(_NO_MEMORY)
    if sys.stderr is not None:
        faulthandler.enable()
