"""Read the CPU quota and the memory limits that apply to this process: those of its cgroup and of each one above it.

A limit that is missing, unreadable or not a number does not count. Formats: cgroup-v2.rst, cgroup-v1/memory.rst and
sched-bwc.rst in the documentation of the kernel.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rerank_service.engine.cgroups import SYSTEM, hierarchy

_DEFAULT_PERIOD = "100000"
"""Period of a quota in microseconds, if cpu.max has none."""
_NO_LIMIT = 2**60
"""Version 1 writes a number near 2**63 if there is no limit."""
_KIB = 1024


@dataclass(frozen=True, slots=True)
class MemoryLimit:
    """A memory limit of one cgroup."""

    file: Path
    """The file that contains it."""
    limit: int
    """In bytes."""
    left: int
    """Bytes that may be taken below the limit. File pages that the kernel would drop first count as free."""
    fatal: int | None
    """Bytes beyond which the kernel kills a process: limit and swap. None if it only slows processes down."""


@dataclass(frozen=True, slots=True)
class _Names:
    """Names of files and fields in one version."""

    limits: tuple[str, ...]
    used: str
    droppable: str


_SLOWS_DOWN = "memory.high"
_NAMES = {
    1: _Names(("memory.limit_in_bytes",), "memory.usage_in_bytes", "total_inactive_file"),
    2: _Names(("memory.max", _SLOWS_DOWN), "memory.current", "inactive_file"),
}


def cpu_quota(system: Path = SYSTEM) -> float | None:
    """Return the smallest CPU quota, in cores; None without a quota."""
    groups = hierarchy("cpu", system)
    if groups is None:
        return None
    read = _quota_v1 if groups.version == 1 else _quota_v2
    return min((quota for folder in groups.folders if (quota := read(folder)) is not None), default=None)


def memory_limits(system: Path = SYSTEM) -> tuple[MemoryLimit, ...]:
    """Return the memory limits; none on other systems than Linux."""
    groups = hierarchy("memory", system)
    if groups is None:
        return ()
    names, swap = _NAMES[groups.version], _host_swap(system)
    return tuple(limit for folder in groups.folders for limit in _memory(names, folder, swap))


def memory_limit(system: Path = SYSTEM) -> int | None:
    """Return the smallest limit in bytes; None without a limit."""
    return min((limit.limit for limit in memory_limits(system)), default=None)


def memory_left(system: Path = SYSTEM) -> int | None:
    """Return the bytes that this process may still take; None without a limit."""
    return min((limit.left for limit in memory_limits(system)), default=None)


def _quota_v2(folder: Path) -> float | None:
    fields = _text(folder / "cpu.max").split()  # the quota, or `max`, and the period
    return _cores(*(*fields, _DEFAULT_PERIOD)[:2]) if fields else None


def _quota_v1(folder: Path) -> float | None:
    return _cores(_text(folder / "cpu.cfs_quota_us"), _text(folder / "cpu.cfs_period_us"))


def _cores(quota: str, period: str) -> float | None:
    """Return the cores of a quota; None if there is no quota (`max` or -1), or if it is no valid one."""
    quota_us, period_us = _number(quota), _number(period)
    return quota_us / period_us if quota_us and period_us else None


def _memory(names: _Names, folder: Path, host_swap: int) -> Iterator[MemoryLimit]:
    used = _number(_text(folder / names.used))
    for name in names.limits:
        limit = _number(_text(folder / name))
        if limit is not None and used is not None and limit < _NO_LIMIT:
            left = max(0, limit - used + _droppable(names, folder))
            fatal = None if name == _SLOWS_DOWN else limit + min(host_swap, _swap(folder, limit))
            yield MemoryLimit(folder / name, limit, left, fatal)


def _swap(folder: Path, limit: int) -> int:
    """Return the bytes of swap that a group may use, beside a limit of memory. Without accounting there is no bound."""
    swap = _number(_text(folder / "memory.swap.max"))
    if swap is not None:
        return swap
    both = _number(_text(folder / "memory.memsw.limit_in_bytes"))  # version 1: memory and swap together
    return _NO_LIMIT if both is None else max(0, both - limit)


def _host_swap(system: Path) -> int:
    fields = [line.split() for line in _text(system / "proc/meminfo").splitlines()]
    return next((int(field[1]) * _KIB for field in fields if field[0] == "SwapTotal:"), 0)


def _droppable(names: _Names, folder: Path) -> int:
    fields = [line.split() for line in _text(folder / "memory.stat").splitlines()]
    return sum(_number(field[1]) or 0 for field in fields if len(field) == 2 and field[0] == names.droppable)


def _number(text: str) -> int | None:
    """Return a number that is not negative; None for other text."""
    return int(text) if text.strip().isdecimal() and text.isascii() else None


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
