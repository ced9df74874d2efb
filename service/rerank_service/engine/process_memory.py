"""Memory of this process: as the kernel counts it (proc_pid_status(5)), and the free part that malloc keeps."""

import ctypes
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rerank_service.engine.cgroups import SYSTEM

_KIB = 1024
_ARENA_MAX = -8
"""M_ARENA_MAX of glibc's malloc.h."""
_ARENAS = 2
_ARENAS_VARIABLE = "MALLOC_ARENA_MAX"


@dataclass(frozen=True, slots=True)
class ProcessMemory:
    """Memory of this process in RAM, in bytes."""

    resident: int
    """All pages, mapped files included."""
    held: int
    """Pages that the kernel cannot drop: all but those of mapped files."""


def process_memory(system: Path = SYSTEM) -> ProcessMemory | None:
    """Return the memory that this process uses now; None on other systems than Linux."""
    try:
        lines = (system / "proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return None
    fields = {name: value.split()[0] for name, _, value in (line.partition(":") for line in lines) if value.split()}
    try:
        resident, files = int(fields["VmRSS"]) * _KIB, int(fields["RssFile"]) * _KIB
    except (KeyError, ValueError):
        return None
    return ProcessMemory(resident, resident - files)


def return_free_memory() -> None:
    """Return memory that was freed to the kernel, where the C library can (glibc). Blocks for some milliseconds."""
    if (trim := _c_function("malloc_trim")) is not None:
        trim(0)


def share_arenas() -> None:
    """Let all threads allocate from two arenas of the C library (glibc), unless MALLOC_ARENA_MAX is set.

    By default, there are eight for each core. Each one keeps memory that its threads have freed, up to 20 MB for bodies
    of 10 MB (docs/decisions/0081-two-arenas.md).
    """
    if (mallopt := _c_function("mallopt")) is not None and _ARENAS_VARIABLE not in os.environ:
        mallopt(_ARENA_MAX, _ARENAS)


def _c_function(name: str) -> Callable[..., int] | None:
    """Return a function of the C library; None if it has none of this name."""
    function: Callable[..., int] | None = getattr(ctypes.CDLL(None), name, None)
    return function
