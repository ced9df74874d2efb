"""A real memory cgroup, whose processes the kernel kills when they need more than its limit."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_ROOT = Path("/sys/fs/cgroup")


@contextmanager
def memory_cgroup(limit: int) -> Iterator[tuple[str, ...]]:
    """Make a group with a limit in bytes, and yield the prefix of a command that runs in it. Skip the test where this
    user cannot make one."""
    v1 = (_ROOT / "memory").is_dir()
    group = (_ROOT / "memory" if v1 else _ROOT) / f"rerank-test-{os.getpid()}"
    try:
        if not v1:
            (_ROOT / "cgroup.subtree_control").write_text("+memory")
        group.mkdir()
        (group / ("memory.limit_in_bytes" if v1 else "memory.max")).write_text(str(limit))
    except OSError as error:
        pytest.skip(f"this user cannot make a memory cgroup: {error}")
    try:
        yield ("sh", "-ec", f'echo $$ > {group}/cgroup.procs; exec "$@"', "sh")
    finally:
        _remove(group)


def _remove(group: Path) -> None:
    """Remove a group, as soon as the kernel has noticed that its processes have ended."""
    for _ in range(100):
        try:
            group.rmdir()
        except OSError:
            time.sleep(0.05)
        else:
            return
