"""Peak memory that one large request adds."""

import re
from dataclasses import dataclass
from pathlib import Path

from bench.event_loop import run
from bench.options import Options
from bench.processes import Child
from bench.running_systems import CannotRun
from rerank_service.tools.loadtest.generator import Amount, closed_loop
from rerank_service.tools.loadtest.target import Target
from rerank_service.tools.loadtest.workload import Lengths, Workload

_RESET_PEAK = "5"
"""Written to clear_refs, it resets VmHWM to the current memory (Linux, Documentation/filesystems/proc.rst)."""
_DEADLINE = 3600.0


@dataclass(frozen=True, slots=True)
class Memory:
    """Resident memory in megabytes."""

    before: float
    peak: float

    @property
    def added(self) -> float:
        """Memory added by the request."""
        return self.peak - self.before


def take(process: Child, target: Target, options: Options) -> Memory:
    """Send one large request to a server that has ranked before.

    Raises:
        CannotRun: the call failed.
    """
    lengths = Lengths(options.memory_tokens, options.memory_tokens)
    run(closed_loop(target, Workload(seed=3), Amount(requests=options.clients), clients=options.clients))
    status = Path(f"/proc/{process.popen.pid}/status")
    before = _megabytes(status, "VmRSS")
    Path(f"/proc/{process.popen.pid}/clear_refs").write_text(_RESET_PEAK)
    workload = Workload(options.memory_documents, lengths, seed=3).prepared(1)
    outcomes = run(closed_loop(target, workload, Amount(requests=1), clients=1, deadline=_DEADLINE))
    if outcomes[0].error:
        raise CannotRun(f"{outcomes[0].error}: {outcomes[0].message}")
    return Memory(before, _megabytes(status, "VmHWM"))


def _megabytes(status: Path, name: str) -> float:
    match = re.search(rf"^{name}:\s+(\d+) kB$", status.read_text(), re.MULTILINE)
    assert match is not None
    return int(match[1]) * 1024 / 1e6
