"""One load level of `rerank bench` against a running server: its command and its figures."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class LoadLevel:
    """The figures of one load level."""

    p50: float
    """Seconds."""
    p99: float
    """Seconds."""
    documents_per_second: float
    errors: dict[str, int]
    """Number of failed calls by status."""


def bench_command(server: str, out: Path, *options: object) -> list[str]:
    """Return the command that measures a server, such as `grpc://127.0.0.1:50051`, and writes the figures to `out`."""
    bench = ("bench", "--server", server, "--json", str(out))
    return [sys.executable, "-m", "rerank_service", *bench, *map(str, options)]


def measured(server: str, out: Path, *options: object) -> LoadLevel:
    """Measure one load level, and return its figures."""
    out.unlink(missing_ok=True)
    command = bench_command(server, out, *options)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return read_level(out)


def read_level(out: Path) -> LoadLevel:
    """Read the figures that `bench_command` wrote."""
    (level,) = json.loads(out.read_text())["levels"]
    return LoadLevel(level["latency"]["p50"], level["latency"]["p99"], level["documents_per_second"], level["errors"])
