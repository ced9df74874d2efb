"""Memory that one large request adds at its peak."""

import re
from dataclasses import dataclass
from pathlib import Path

from bench.entrants import CannotRun
from bench.loop import run
from bench.options import Options
from bench.processes import Child
from rerank_service.tools.loadtest.generator import Amount, closed
from rerank_service.tools.loadtest.target import Target
from rerank_service.tools.loadtest.workload import Lengths, Workload

_RESET_PEAK = "5"
"""Written to clear_refs, it makes VmHWM the memory of now: Documentation/filesystems/proc.rst of Linux."""
_DEADLINE = 3600.0


@dataclass(frozen=True, slots=True)
class Memory:
    """Megabytes of resident memory."""

    before: float
    peak: float

    @property
    def added(self) -> float:
        """By the request."""
        return self.peak - self.before


def take(process: Child, target: Target, options: Options) -> Memory:
    """One call over gRPC to a server that has ranked before.

    Raises:
        CannotRun: it is not answered.
    """
    lengths = Lengths(options.memory_tokens, options.memory_tokens)
    run(closed(target, Workload(seed=3), Amount(requests=options.clients), clients=options.clients))
    status = Path(f"/proc/{process.popen.pid}/status")
    before = _megabytes(status, "VmRSS")
    Path(f"/proc/{process.popen.pid}/clear_refs").write_text(_RESET_PEAK)
    workload = Workload(options.memory_documents, lengths, seed=3).prepared(1)
    outcomes = run(closed(target, workload, Amount(requests=1), clients=1, deadline=_DEADLINE))
    if outcomes[0].error:
        raise CannotRun(f"{outcomes[0].error}: {outcomes[0].message}")
    return Memory(before, _megabytes(status, "VmHWM"))


def _megabytes(status: Path, name: str) -> float:
    found = re.search(rf"^{name}:\s+(\d+) kB$", status.read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024 / 1e6
