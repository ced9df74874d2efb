"""Crashes of the process: no core dump, but a stack of each thread.

A core dump would have the whole memory, with texts of callers and keys.

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


def show_stacks_of_crashes() -> None:
    """From now on, a crash of native code writes the Python stack of each thread to stderr. It has no texts."""
    if sys.__stderr__ is not None:
        faulthandler.enable(sys.__stderr__)


def prevent_core_dumps() -> None:
    """From now on, a crash writes no memory to a file."""
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))
    # systems that pipe core dumps to a program, such as systemd-coredump, do not have to follow the limit
    with suppress(OSError):
        _FILTER.write_text(_NO_MEMORY)
