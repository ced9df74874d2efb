"""Run `rerank` with a fault: patched code in its process, limits of the system, or signals."""

import os
import resource
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_RUN = """
import sys
del sys.argv[1:4]  # the command that runs `rerank`
{patch}
from rerank_service.__main__ import main
sys.exit(main())
"""


def patched(code: str) -> tuple[str, ...]:
    """Return the prefix of a `rerank` command that runs Python code in its process first."""
    return (sys.executable, "-c", _RUN.format(patch=code))


def limited(number: int, limit: int) -> tuple[str, ...]:
    """Return the prefix of a command that runs with a limit of the system, such as RLIMIT_FSIZE."""
    limits = f"resource.setrlimit({number}, ({limit}, {limit}))"
    return (sys.executable, "-c", f"import os, resource, sys; {limits}; os.execv(sys.argv[1], sys.argv[1:])")


@contextmanager
def small_files(limit: int) -> Iterator[None]:
    """Let this process write no file beyond `limit` bytes during the block: writes fail in the middle, as on a full
    disk. Python ignores the signal SIGXFSZ. Give 1 MiB or more: the limit also holds for the output of pytest."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def memory_limit(pid: int, more: int) -> Iterator[None]:
    """Let a process allocate at most `more` bytes during the block. Larger allocations fail."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[0])
    before = resource.prlimit(pid, resource.RLIMIT_AS)
    resource.prlimit(pid, resource.RLIMIT_AS, (pages * resource.getpagesize() + more, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_AS, before)


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    """Stop a process (SIGSTOP) during the block, and let it go on (SIGCONT)."""
    status = Path(f"/proc/{pid}/stat")
    os.kill(pid, signal.SIGSTOP)
    try:
        while status.read_text().rpartition(")")[2].split()[0] != "T":
            pass
        yield
    finally:
        os.kill(pid, signal.SIGCONT)
