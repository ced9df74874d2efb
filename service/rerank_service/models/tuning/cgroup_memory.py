"""Read the memory limits of the process's cgroup and of those above it, version 1 or 2."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_ROOT = Path("/sys/fs/cgroup")
_OWN = Path("/proc/self/cgroup")
_NO_LIMIT = 2**60
"""Version 1 writes a number near 2**63 if there is no limit."""


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit of one cgroup, in bytes."""

    limit: int
    left: int
    """Bytes that may be taken before the kernel kills a process. File pages that it would drop first count as free."""


@dataclass(frozen=True, slots=True)
class _Names:
    """Names of files and fields in one version."""

    controller: str
    folder: str
    limit: str
    used: str
    droppable: str


_VERSIONS = (
    _Names("", "", "memory.max", "memory.current", "inactive_file"),
    _Names("memory", "memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)


def memory_limits(root: Path = _ROOT, own: Path = _OWN) -> tuple[Limit, ...]:
    """Return the memory limits that apply to this process; none on other systems than Linux."""
    return tuple(
        limit for names in _VERSIONS for folder in _folders(names, root, own) for limit in _read(names, folder)
    )


def memory_limit() -> int | None:
    """Return the smallest limit in bytes; None without a limit."""
    return min((limit.limit for limit in memory_limits()), default=None)


def memory_left() -> int | None:
    """Return the bytes that this process may still take; None without a limit."""
    return min((limit.left for limit in memory_limits()), default=None)


def _folders(names: _Names, root: Path, own: Path) -> Iterator[Path]:
    """Yield the folders of the process's cgroup and of those above it. In a container only the root may be visible."""
    top = root / names.folder
    folder = top / _path(names.controller, own).lstrip("/")
    while folder != top and top in folder.parents:
        yield folder
        folder = folder.parent
    yield top


def _path(controller: str, own: Path) -> str:
    """Return the path of the process's cgroup: lines are `number:controllers:path`."""
    try:
        lines = [line.split(":", 2) for line in own.read_text().splitlines()]
    except OSError:
        return ""
    return next((line[2] for line in lines if len(line) == 3 and controller in line[1].split(",")), "")


def _read(names: _Names, folder: Path) -> Iterator[Limit]:
    try:
        limit = int((folder / names.limit).read_text())  # "max" means no limit and is not an int
        used = int((folder / names.used).read_text())
    except (OSError, ValueError):
        return
    if limit < _NO_LIMIT:
        yield Limit(limit, max(0, limit - used + _droppable(names, folder)))


def _droppable(names: _Names, folder: Path) -> int:
    try:
        lines = [line.split() for line in (folder / "memory.stat").read_text().splitlines()]
        return sum(int(value) for name, value in lines if name == names.droppable)
    except (OSError, ValueError):
        return 0
