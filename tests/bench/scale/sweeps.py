"""Measure the sweeps, each point with processes of its own: `rerank serve` and `rerank bench`."""

import json
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx

from bench.load_level import bench_command, measured, read_level
from bench.processes import child
from bench.scale.growth import CoreModel, Point, Sweep
from bench.servers import OurServer, our_server
from rerank_service.models.files import STARTER


@dataclass(frozen=True, slots=True)
class Sizes:
    """Points of the sweeps, and the duration of each."""

    seconds: float = 10.0
    requests: int = 5
    """Number of requests at each point of the sweeps of size."""
    documents: Sequence[int] = (1, 10, 100, 1_000, 10_000)
    tokens: Sequence[int] = (20, 80, 320, 1_000, 3_000, 8_000)
    clients: Sequence[int] = (1, 4, 16, 64, 256)
    models: Sequence[int] = (1, 2, 3, 4)


QUICK = Sizes(
    seconds=2.0,
    requests=2,
    documents=(1, 10, 100, 500),
    tokens=(20, 80, 320, 1_000),
    clients=(1, 4, 16, 64),
    models=(1, 2),
)
_SERVE = ("--tune", "off")
_DEADLINE = ("--deadline", 300)


class Sweeps:
    """Measures all sweeps."""

    def __init__(self, work: Path, sizes: Sizes, say: Callable[[str], None]) -> None:
        self._work = work
        self._sizes = sizes
        self._say = say
        self.loop_seconds = 0.0
        """Time of the event loop for one document, with 16 clients."""

    def take(self) -> tuple[list[Sweep], CoreModel]:
        """Return all sweeps, and the model for more cores."""
        with our_server(self._work / "server.log", STARTER, _SERVE) as server:
            sweeps = [self.documents(server), self.tokens(server), self.clients(server)]
        lanes = self.lanes()
        one, two = (point.documents_per_second for point in lanes.points)
        return [*sweeps, lanes, self.models()], CoreModel(one, two, self.loop_seconds)

    def _point(self, server: OurServer, x: float, *load: object) -> Point:
        self._say(f"point {x:g}")
        level = measured(f"grpc://{server.grpc}", self._work / "level.json", *load, *_DEADLINE)
        return Point(x, level.p50, level.p99, level.documents_per_second)

    def documents(self, server: OurServer) -> Sweep:
        """Vary the documents per request."""
        self._say("documents per request")
        fixed = ("--clients", 1, "--tokens", "20-21", "--requests", self._sizes.requests)
        points = [self._point(server, count, *fixed, "--documents", count) for count in self._sizes.documents]
        return Sweep("documents per request", "one client, 20 tokens", points)

    def tokens(self, server: OurServer) -> Sweep:
        """Vary the length of documents."""
        self._say("tokens per document")
        fixed = ("--clients", 1, "--documents", 4, "--requests", self._sizes.requests)
        points = [self._point(server, n, *fixed, "--tokens", f"{n}-{n + 1}") for n in self._sizes.tokens]
        return Sweep("tokens per document", "one client, 4 documents", points)

    def clients(self, server: OurServer) -> Sweep:
        """Vary the concurrent clients."""
        self._say("concurrent clients")
        points = [self._point(server, count, *self._timed(count)) for count in self._sizes.clients]
        return Sweep("concurrent clients", "10 documents, 20 tokens", points)

    def _timed(self, clients: int) -> tuple[object, ...]:
        return ("--clients", clients, "--documents", 10, "--tokens", "20-21", "--seconds", self._sizes.seconds)

    def lanes(self) -> Sweep:
        """Serve with one lane and with two, and measure the time of the event loop."""
        self._say("lanes")
        points = []
        for lanes in (1, 2):
            log = self._work / f"lanes-{lanes}.log"
            with our_server(log, STARTER, (*_SERVE, "--lanes", str(lanes))) as server:
                before = _loop(server)
                points.append(self._point(server, lanes, *self._timed(16)))
                seconds, documents = (b - a for a, b in zip(before, _loop(server), strict=True))
                self.loop_seconds = seconds / documents
        return Sweep("lanes", "16 clients, 10 documents, 20 tokens", points, is_growth=False)

    def models(self) -> Sweep:
        """Vary the loaded models, which share the clients."""
        self._say("loaded models")
        points = []
        for count in self._sizes.models:
            catalog = self._work / "models.yaml"
            names = [f"m{number}" for number in range(count)]
            catalog.write_text(json.dumps([{"name": name, "bundle": str(STARTER)} for name in names]))
            extra = ("--models", str(catalog), *_SERVE)
            with our_server(self._work / f"models-{count}.log", extra=extra) as server:
                points.append(self._all_models(server, names))
        return Sweep("loaded models", "16 clients in all, 10 documents, 20 tokens", points, is_growth=False)

    def _all_models(self, server: OurServer, names: Sequence[str]) -> Point:
        """Load all models at the same time, each with its part of the clients."""
        self._say(f"point {len(names)}")
        outs = [self._work / f"{name}.json" for name in names]
        with ExitStack() as loads:
            running = []
            for name, out in zip(names, outs, strict=True):
                load = ("--served-model", name, *self._timed(16 // len(names)), *_DEADLINE)
                command = bench_command(f"grpc://{server.grpc}", out, *load)
                running.append(loads.enter_context(child(command, self._work / f"{name}.log")))
            for process in running:
                if process.popen.wait():
                    raise subprocess.CalledProcessError(process.popen.returncode, "rerank bench")
        levels = [read_level(out) for out in outs]
        return Point(
            len(names),
            max(level.p50 for level in levels),
            max(level.p99 for level in levels),
            sum(level.documents_per_second for level in levels),
        )


def _loop(server: OurServer) -> tuple[float, float]:
    """Return the time of the event loop and the number of documents, both since the start."""
    text = httpx.get(f"{server.rest}/metrics", timeout=60).text
    return _total(text, "rerank_event_loop_blocked_seconds_sum"), _total(text, "rerank_documents_total")


def _total(text: str, name: str) -> float:
    return sum(_values(text, name))


def _values(text: str, name: str) -> Iterator[float]:
    for line in text.splitlines():
        if line.startswith((f"{name} ", f"{name}{{")):
            yield float(line.rpartition(" ")[2])
