"""`make bench-models`: the latency of a model, idle and beside another model that has three times its capacity.

A started `rerank serve --models` serves the bundled model twice, over gRPC. Each load has a process of its own.
"""

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench.arguments import bench_parser
from bench.load_level import LoadLevel, bench_command, measured, read_level
from bench.processes import child
from bench.servers import our_server
from rerank_service.models.files import STARTER
from rerank_service.progress import kept_stages

_OVERLOAD = 3.0
"""Load of model A, as a multiple of the capacity of the machine."""
_LIGHT = 0.1
"""Load of model B, as a multiple of the capacity of the machine."""
_CAPACITY_CLIENTS = 16
_MAX_RATIO = 2.0
_WARM_UP = 5.0
"""Seconds in which the queue of A fills, before B is measured; A goes on as long after B."""


EXAMPLES = (
    ("all loads, as make bench-models", ""),
    ("a quick look, with a heavier model A", "--rounds 1 --seconds 5 --weight 2"),
)
"""Examples of --help."""


def main(argv: Sequence[str]) -> int:
    """Measure, and print a table. Return 1 if the target is missed."""
    arguments = _arguments(argv)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        catalog = work / "models.yaml"
        weights = {"a": arguments.weight, "b": 1.0}
        entries = [{"name": name, "bundle": str(STARTER), "weight": weight} for name, weight in weights.items()]
        catalog.write_text(json.dumps(entries))  # JSON is YAML
        with our_server(work / "server.log", extra=("--models", str(catalog), "--tune", "off")) as server:
            bench = _Bench(server.grpc, work, arguments.seconds, arguments.documents)
            return _measure(bench, arguments)


def _arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = bench_parser("models", __doc__, EXAMPLES)
    parser.add_argument("--seconds", type=float, default=20.0, help="duration of each load (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="idle and loaded in turn (default: %(default)s)")
    parser.add_argument("--documents", type=int, default=10, help="documents of B's requests (default: %(default)s)")
    parser.add_argument("--weight", type=float, default=1.0, help="weight of A; that of B is 1 (default: %(default)s)")
    return parser.parse_args(argv)


class _Bench:
    """Runs `rerank bench` against the server."""

    def __init__(self, address: str, work: Path, seconds: float, documents: int) -> None:
        self._server = f"grpc://{address}"
        self._work = work
        self._seconds = seconds
        self._documents = documents

    def capacity(self) -> float:
        """Return how many documents per second model A ranks, with 25 documents per request."""
        load = ("--clients", _CAPACITY_CLIENTS, "--seconds", self._seconds / 2)
        return self._measured("a", *load).documents_per_second

    def light(self, capacity: float) -> LoadLevel:
        """Measure model B under a light load."""
        rate = _LIGHT * capacity / self._documents
        return self._measured("b", "--rate", rate, "--seconds", self._seconds, "--documents", self._documents)

    @contextmanager
    def overloaded(self, capacity: float) -> Iterator[Path]:
        """Overload model A during the block. Yield the file that gets the figures."""
        out = self._work / "overload.json"
        load = ("--rate", _OVERLOAD * capacity / 25, "--seconds", self._seconds + 2 * _WARM_UP, "--deadline", 5)
        command = bench_command(self._server, out, "--served-model", "a", *load)
        with child(command, self._work / "a.log") as process:
            time.sleep(_WARM_UP)
            yield out
            process.popen.wait()

    def _measured(self, model: str, *load: object) -> LoadLevel:
        return measured(self._server, self._work / f"{model}.json", "--served-model", model, *load)


def _measure(bench: _Bench, arguments: argparse.Namespace) -> int:
    say = kept_stages(time.perf_counter)
    say("capacity of the machine")
    capacity = bench.capacity()
    print(f"capacity: {capacity:.0f} documents/s")
    print("round  B idle p99  B beside A p99  ratio  A answered  A rejected")
    pairs: list[tuple[LoadLevel, LoadLevel]] = []
    for number in range(1, arguments.rounds + 1):
        say(f"round {number} of {arguments.rounds}")
        idle = bench.light(capacity)
        with bench.overloaded(capacity) as out:
            beside = bench.light(capacity)
        pairs.append((idle, beside))
        a = read_level(out)
        print(
            f"{number:5}  {idle.p99 * 1e3:7.0f} ms  {beside.p99 * 1e3:11.0f} ms  {beside.p99 / idle.p99:5.2f}  "
            f"{a.documents_per_second:5.0f}/s  {sum(a.errors.values()):9}  {beside.errors or ''}",
            flush=True,
        )
    print(f"worst ratio: {worst_ratio(pairs):.2f} (at most {_MAX_RATIO:g} is required)")
    if problem := problem_of(pairs):
        print(problem)
    return 1 if problem else 0


def worst_ratio(pairs: Sequence[tuple[LoadLevel, LoadLevel]]) -> float:
    """Return the highest ratio of the 99th percentiles of B: beside A / idle."""
    return max(beside.p99 / idle.p99 for idle, beside in pairs)


def problem_of(pairs: Sequence[tuple[LoadLevel, LoadLevel]]) -> str:
    """Return why the target is missed; empty if it is met. The percentiles are those of answered calls, so a failed
    call of B is a miss. `pairs` has the levels of B of each round: idle, and beside A."""
    failed = sum((Counter(level.errors) for levels in pairs for level in levels), Counter[str]())
    if failed:
        counts = ", ".join(f"{count} {status}" for status, count in failed.items())
        return f"calls of B failed: {counts}. The ratio counts only if all calls are answered: lower the load."
    worst = worst_ratio(pairs)
    return "" if worst <= _MAX_RATIO else f"the worst ratio is {worst:.2f}, at most {_MAX_RATIO:g}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
