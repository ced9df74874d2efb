"""Start of this server with a shape: tuning, time to ready, and memory."""

import json
import math
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx

from bench.environments import our_runtime, versions_of
from bench.processes import Died
from bench.running_systems import ServedSystem, served_systems
from bench.servers import our_server
from bench.systems import SERVED, System
from rerank_service.models.files import GRAPH

_PACKAGES = ("rerank-service", our_runtime())
_EXTRA_SECONDS = 300.0
"""Time that a tuning may take beyond its limit: it may exceed it by loading an engine."""


@dataclass(frozen=True, slots=True)
class Memory:
    """Memory of a process, in bytes."""

    peak: int
    """Largest resident memory (VmHWM)."""
    proportional: int
    """Memory with the process's share of shared pages (PSS)."""
    own: int
    """Resident memory without pages of files, which the kernel can drop and read again (RssAnon and RssShmem)."""


def tune(log: Path, bundle: Path, seconds: float) -> dict[str, Any]:
    """Start the server for the first time, and return the log line of its tuning; {} without a tuning."""
    with our_server(log, bundle, ("--tune-seconds", f"{seconds:g}")) as server, suppress(Died):
        return server.process.until(lambda: _event(log, "tuned"), seconds + _EXTRA_SECONDS)
    return {}


def _event(log: Path, name: str) -> dict[str, Any] | None:
    for line in log.read_text().splitlines(keepends=True):
        if line.endswith("\n") and f'"event": "{name}"' in line:
            event: dict[str, Any] = json.loads(line)
            return event
    return None


@contextmanager
def started(log: Path, bundle: Path, system: System = SERVED) -> Iterator[tuple[ServedSystem, int, float]]:
    """Start the server with the engine of an earlier tuning. Yield it, its process id, and the seconds until ready.

    Its process is stopped until its turn.
    """
    begun = time.perf_counter()
    with our_server(log, bundle, ("--tune", "off", *system.arguments)) as server:
        ready = time.perf_counter() - begun
        (running,) = served_systems(server, [system], versions_of(Path(sys.executable), _PACKAGES))
        server.process.stop()
        yield running, server.process.popen.pid, ready


def memory_of(process_id: int) -> Memory:
    """Return the memory of a process (Linux, Documentation/filesystems/proc.rst)."""
    folder = Path(f"/proc/{process_id}")
    status = folder / "status"
    own = _bytes(status, "RssAnon") + _bytes(status, "RssShmem")
    return Memory(_bytes(status, "VmHWM"), _bytes(folder / "smaps_rollup", "Pss"), own)


def _bytes(path: Path, name: str) -> int:
    match = re.search(rf"^{name}:\s+(\d+) kB$", path.read_text(), re.MULTILINE)
    assert match is not None
    return int(match[1]) * 1024


def parameters(bundle: Path) -> int:
    """Return the number of weights of a bundle's reference graph."""
    graph = onnx.load(bundle / GRAPH, load_external_data=False).graph
    return sum(math.prod(tensor.dims) for tensor in graph.initializer)
