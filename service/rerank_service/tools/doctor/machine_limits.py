"""Checks of the cores, the memory and the open files that this process may use."""

from collections.abc import Iterator, Sequence

from rerank_service.engine.cgroup_limits import MemoryLimit
from rerank_service.engine.host import Cores
from rerank_service.lifecycle.descriptors import FEW, FEW_FIX, Descriptors
from rerank_service.quantities import counted, rounded
from rerank_service.tools.doctor.finding import Finding, ok, slow

_MB = 10**6
_LITTLE = 0.1
"""If a smaller part of a memory limit is left, the limit is close."""


def cores_findings(cores: Cores, machine_cores: int) -> Iterator[Finding]:
    """Yield the usable cores, with affinity and CPU quota."""
    quota = "none" if cores.quota is None else f"{rounded(cores.quota)} cores"
    facts = f"affinity {cores.affinity} of {counted(machine_cores, 'core')}, CPU quota {quota}"
    text = f"{counted(cores.usable, 'usable core')} ({facts})"
    if cores.quota is not None and cores.quota < cores.affinity and cores.quota != int(cores.quota):
        yield slow(
            "cores",
            f"{text}: with a fraction of a core, the kernel pauses all threads at once",
            "set a whole number of cores (resources.limits.cpu of a pod, --cpus of docker, CPUQuota= of systemd)",
        )
    else:
        yield ok("cores", text)


def memory_findings(limits: Sequence[MemoryLimit]) -> Iterator[Finding]:
    """Yield a finding for each memory limit of the cgroups."""
    if not limits:
        yield ok("memory", "no limit by a cgroup")
    for limit in limits:
        text = f"limit {limit.limit // _MB:,} MB in {limit.file}, {limit.left // _MB:,} MB left"
        if limit.left < limit.limit * _LITTLE:
            fix = "raise the limit (resources.limits.memory of a pod, --memory of docker, MemoryMax= of systemd)"
            yield slow("memory", text, fix)
        else:
            yield ok("memory", text)


def descriptors_finding(found: Descriptors) -> Finding:
    """Return whether the limit of open files suffices for all connections of a server."""
    if found.suffice:
        return ok("open files", f"the limit suffices for all connections ({found.needed:,} needed)")
    return slow("open files", f"limit {found.limit:,}, {found.needed:,} needed for all connections: {FEW}", FEW_FIX)
