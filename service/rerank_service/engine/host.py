"""Processor and usable cores of this machine."""

import math
import os
import platform
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from rerank_service.engine.cgroup_limits import cpu_quota
from rerank_service.engine.cgroups import SYSTEM
from rerank_service.engine.isa_limit import hidden_features

_CPUINFO = Path("/proc/cpuinfo")


@dataclass(frozen=True, slots=True)
class Cpu:
    """A processor."""

    name: str
    features: frozenset[str]
    """Linux names of instruction sets, such as avx512_bf16 or amx_bf16; empty on other systems.

    Without those that the operator hides (isa_limit.py)."""


@cache
def cpu() -> Cpu:
    """Return the processor of this machine."""
    try:
        lines = [line.partition(":") for line in _CPUINFO.read_text().splitlines()]
    except OSError:
        lines = []
    fields = {name.strip().lower(): value.strip() for name, _, value in reversed(lines)}  # of the first core
    features = fields.get("flags") or fields.get("features") or ""  # x86-64 or Arm
    name = fields.get("model name") or platform.processor() or platform.machine()
    return Cpu(name, frozenset(features.split()) - hidden_features(os.environ))


@dataclass(frozen=True, slots=True)
class Cores:
    """The cores that this process may use."""

    usable: int
    """The smaller of affinity and quota, rounded up; at least 1."""
    affinity: int
    """Number of cores that the scheduler may run this process on."""
    quota: float | None
    """CPU time per time, in cores; None without a quota."""


def cores(system: Path = SYSTEM) -> Cores:
    """Return the cores that this process may use, from its CPU affinity and the quotas of its cgroups.

    ONNX Runtime, torch and rayon count the host's cores instead: with a quota of 2 of 64 cores, so many threads are
    throttled (https://github.com/microsoft/onnxruntime/issues/29510).
    """
    scheduled = getattr(os, "sched_getaffinity", None)  # Linux only
    affinity = len(scheduled(0)) if scheduled else os.cpu_count() or 1
    quota = cpu_quota(system)
    return Cores(affinity if quota is None else max(1, min(affinity, math.ceil(quota))), affinity, quota)


def usable_cores() -> int:
    """Return the number of cores that this process may use, at least 1. See `cores`."""
    return cores().usable


def limit_tokenizer_threads() -> int:
    """Give the tokenizers library one thread per usable core, unless RAYON_NUM_THREADS is set. Return the cores.

    Its thread pool, Rayon's, counts the cores of the host. It starts with the first batch of texts.
    """
    count = usable_cores()
    os.environ.setdefault("RAYON_NUM_THREADS", str(count))
    return count
