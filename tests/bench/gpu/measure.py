"""Measure one model on a GPU: all systems are loaded, and take turns."""

import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from bench.comparison import FAILURES
from bench.environments import Say
from bench.gpu.results import GpuResult, LengthFigures
from bench.gpu.systems import PEER, RUNNERS
from bench.model_folders import BUNDLE
from bench.running_systems import RunningSystem, running_runner, served_systems
from bench.servers import our_server
from bench.shapes.work import TokenTexts
from bench.systems import OURS, SERVED, SERVED_REST, System, Use
from rerank_service.tools.loadtest.workload import PreparedRequests
from support.process_usage import usage

_FEW = 4
"""Requests of a turn of the peer's default use: one call each, so more of them change nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuOptions:
    """Sizes of the measurement; the defaults are those of the full one."""

    lengths: tuple[int, ...] = (40, 130, 500)
    """Tokens of a document."""
    documents: int = 100
    """Documents per request."""
    clients: int = 32
    """Clients of the server."""
    rounds: int = 3
    turn_seconds: float = 2.0
    """About the duration of a turn of this server."""
    single_requests: int = 10
    """Requests of each system, one after the other, for the duration of one."""
    batches: tuple[int, ...] = (32, 128, 512)
    """Batch sizes to try for the peer, in pairs."""
    cores: int = 1
    """Threads of a runner for its work on the CPU."""


class GpuMeasurement:
    """The measurement of one model."""

    def __init__(self, folder: Path, peer_python: Path | None, options: GpuOptions, logs: Path, say: Say) -> None:
        """`folder` is the output of bench.shapes.build. `peer_python` has sentence-transformers and torch for CUDA;
        None leaves the peer out."""
        self._folder = folder
        self._pythons = {OURS: Path(sys.executable)} | ({PEER: peer_python} if peer_python else {})
        self._options = options
        self._logs = logs
        self._say = say
        self._failed: dict[str, str] = {}
        self._batches: dict[str, int] = {}
        """Batch size of each tuned system, by its slug."""

    def result(self) -> GpuResult:
        """Measure everything."""
        with ExitStack() as stack:
            begun = time.perf_counter()
            server = stack.enter_context(our_server(self._logs / "server.log", self._folder / BUNDLE))
            ready = time.perf_counter() - begun
            running: list[RunningSystem] = [*served_systems(server, (SERVED, SERVED_REST), {})]
            server.process.stop()
            for system in RUNNERS:
                if system.peer in self._pythons:
                    self._start(system, stack, running)
            texts = TokenTexts(self._folder / BUNDLE / "tokenizer.json")
            lengths = tuple(
                self._length(tokens, texts, running, server.process.popen.pid) for tokens in self._options.lengths
            )
        return GpuResult(
            shape=self._folder.name,
            ready_seconds=ready,
            lengths=lengths,
            failed=self._failed,
        )

    def _start(self, system: System, stack: ExitStack, running: list[RunningSystem]) -> None:
        """Start a system that is not the server. If that fails, the others go on without it."""
        try:
            python, folder = self._pythons[system.peer], self._folder / system.model
            log = self._logs / f"{system.slug}.log"
            running.append(stack.enter_context(running_runner(system, python, folder, log, self._options.cores)))
        except FAILURES as error:
            self._failed[system.slug] = str(error)
            self._say(f"{system.slug} cannot run: {error}")

    def _length(self, tokens: int, texts: TokenTexts, running: list[RunningSystem], process_id: int) -> LengthFigures:
        options, ours = self._options, running[0]
        self._say(f"{self._folder.name}: documents of {tokens} tokens")
        first = texts.requests(options.clients, options.documents, tokens)
        for _ in range(2):  # the first one warms up
            speed = self._turn(ours, first)
        wanted = max(options.clients, round(speed * options.turn_seconds / options.documents))
        work = texts.requests(wanted, options.documents, tokens)
        for system in running[1:]:
            self._warm_up(system, first)
        speeds: dict[str, list[float]] = {system.system.slug: [] for system in running}
        busy = []
        for _ in range(options.rounds):
            for system in running:
                before, begun = usage(process_id).cpu, time.perf_counter()
                speeds[system.system.slug].append(self._turn(system, work))
                if system is ours:
                    busy.append((usage(process_id).cpu - before) / (time.perf_counter() - begun))
        return LengthFigures(
            tokens=tokens,
            documents_per_second={slug: median(values) for slug, values in speeds.items()},
            seconds={system.system.slug: self._seconds(system, first) for system in running},
            processors=median(busy),
            batches=dict(self._batches),
        )

    def _warm_up(self, system: RunningSystem, work: PreparedRequests) -> None:
        """Run a system before its turns, and find the best batch of the peer at its best."""
        if system.system.use is not Use.AT_ITS_BEST:
            self._turn(system, work)
            return
        part, by_size = _first(work, max(_FEW, len(work.requests) // 4)), {}
        for size in self._options.batches:
            self._batches[system.system.slug] = size
            by_size[size] = max(self._turn(system, part) for _ in range(2))  # the first one warms up
        self._batches[system.system.slug] = max(by_size, key=by_size.__getitem__)

    def _turn(self, system: RunningSystem, work: PreparedRequests) -> float:
        batch = self._batches.get(system.system.slug)
        work = _first(work, _FEW) if system.system.use is Use.AS_USERS_DO else work
        with system.on_turn():
            turn = system.work(work, repeats=1, clients=self._options.clients, batch=batch)
        return turn.documents_per_second

    def _seconds(self, system: RunningSystem, work: PreparedRequests) -> float:
        batch = self._batches.get(system.system.slug)
        with system.on_turn():
            return median(system.rank(request, batch) for request in work.requests[: self._options.single_requests])


def _first(work: PreparedRequests, requests: int) -> PreparedRequests:
    return PreparedRequests(work.requests[:requests])
