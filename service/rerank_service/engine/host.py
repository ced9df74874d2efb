"""What of this machine's processors is ours."""

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
    """The processor."""

    name: str
    features: frozenset[str]
    """As Linux names them, such as avx512_bf16 or amx_bf16; empty elsewhere."""


@cache
def cpu() -> Cpu:
    """The processor of this machine."""
    try:
        lines = [line.partition(":") for line in _CPUINFO.read_text().splitlines()]
    except OSError:
        lines = []
    said = {name.strip().lower(): value.strip() for name, _, value in reversed(lines)}  # the first core's
    features = said.get("flags") or said.get("features") or ""  # x86-64 or Arm
    return Cpu(said.get("model name") or platform.processor() or platform.machine(), frozenset(features.split()))


def usable_cores() -> int:
    """Cores that this process may use: its affinity, and no more than its cgroup's quota, rounded up.

    ONNX Runtime and rayon size their threads to the host's cores instead, which throttles a container that
    has two of sixty-four (https://github.com/microsoft/onnxruntime/issues/29510).
    """
    affinity = getattr(os, "sched_getaffinity", None)  # Linux only
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    return max(1, math.ceil(min(cores, _quota())))


def _quota() -> float:
    try:
        if _CGROUP_V2.exists():
            quota, period = _CGROUP_V2.read_text().split()
        else:
            quota = (_CGROUP_V1 / "cpu.cfs_quota_us").read_text().strip()
            period = (_CGROUP_V1 / "cpu.cfs_period_us").read_text().strip()
    except (OSError, ValueError):
        return math.inf
    return math.inf if quota in ("max", "-1") else int(quota) / int(period)
