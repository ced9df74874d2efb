"""Processor and usable cores of this machine."""

import math
import os
import platform
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_CGROUP_V2 = Path("/sys/fs/cgroup/cpu.max")
_CGROUP_V1 = Path("/sys/fs/cgroup/cpu")
_CPUINFO = Path("/proc/cpuinfo")


@dataclass(frozen=True, slots=True)
class Cpu:
    """A processor."""

    name: str
    features: frozenset[str]
    """Linux names of instruction sets, such as avx512_bf16 or amx_bf16; empty on other systems."""


@cache
def cpu() -> Cpu:
    """Return the processor of this machine."""
    try:
        lines = [line.partition(":") for line in _CPUINFO.read_text().splitlines()]
    except OSError:
        lines = []
    fields = {name.strip().lower(): value.strip() for name, _, value in reversed(lines)}  # of the first core
    features = fields.get("flags") or fields.get("features") or ""  # x86-64 or Arm
    return Cpu(fields.get("model name") or platform.processor() or platform.machine(), frozenset(features.split()))


def usable_cores() -> int:
    """Return the number of cores that this process may use, at least 1.

    It is the smaller of the CPU affinity and the cgroup's quota, rounded up. ONNX Runtime and rayon count the host's
    cores instead: in a container with 2 of 64 cores, so many threads are throttled
    (https://github.com/microsoft/onnxruntime/issues/29510).
    """
    affinity = getattr(os, "sched_getaffinity", None)  # Linux only
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    return max(1, math.ceil(min(cores, _quota())))


def _quota() -> float:
    """Return the CPU quota of the cgroup, in cores; infinity without one."""
    try:
        if _CGROUP_V2.exists():
            quota, period = _CGROUP_V2.read_text().split()
        else:
            quota = (_CGROUP_V1 / "cpu.cfs_quota_us").read_text().strip()
            period = (_CGROUP_V1 / "cpu.cfs_period_us").read_text().strip()
    except (OSError, ValueError):
        return math.inf
    return math.inf if quota in ("max", "-1") else int(quota) / int(period)
