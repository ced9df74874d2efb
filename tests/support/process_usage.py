"""Resources of a process, as the kernel counts them."""

import os
from dataclasses import dataclass
from pathlib import Path

_PAGE_KIB = os.sysconf("SC_PAGE_SIZE") // 1024
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Usage:
    """Resources of a process."""

    kib: int
    """Resident memory, in KiB."""
    cpu: float
    """CPU time since its start, in seconds."""
    descriptors: int
    threads: int


def usage(pid: int) -> Usage:
    """Return the resources of a process, as the kernel counts them.

    Raises:
        FileNotFoundError: the process has ended.
    """
    folder = Path("/proc", str(pid))
    fields = (folder / "stat").read_text().rpartition(")")[2].split()
    return Usage(
        kib=int((folder / "statm").read_text().split()[1]) * _PAGE_KIB,
        cpu=(int(fields[11]) + int(fields[12])) / _TICKS,
        descriptors=len(list((folder / "fd").iterdir())),
        threads=int(fields[17]),
    )
