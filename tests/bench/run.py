"""Order of a benchmark: start all systems, measure them in turns, stop the peers, measure this server alone."""

import os
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from bench.environments import NotInstalled, our_runtime, python_of, versions_of
from bench.figures import beside_bulk, cold_start, interactive, levels, memory, overload, throughput
from bench.host import read_host
from bench.model_folders import BUNDLE
from bench.pool import SystemPool
from bench.processes import Died
from bench.results import Results
from bench.running_systems import CannotRun, ServedSystem, running_infinity, running_runner, served_systems
from bench.servers import OurServer, our_server
from bench.systems import OURS, Kind, System, all_systems
from rerank_service.errors import OperatorError
from rerank_service.tools.loadtest.workload import PreparedRequests, Workload

T = TypeVar("T")

_FAILURES = (CannotRun, Died, NotInstalled, OperatorError, OSError)
"""Errors that remove one system and let the others continue."""
_REQUESTS_IN_LEVELS = 256
"""Number of requests created before the measurement; they repeat if more are sent."""
_OUR_PACKAGES = ("rerank-service", our_runtime(), "tokenizers", "grpcio", "uvicorn")
_INFINITYS_PACKAGES = ("infinity-emb", "torch", "optimum", "transformers", "onnxruntime")


class Run:
    """A benchmark with some of the peers."""

    def __init__(self, pool: SystemPool, models: Path, logs: Path, peers: Sequence[str]) -> None:
        self._pool = pool
        self._options = pool.options
        self._models = models
        self._logs = logs
        self._host = read_host()
        self._failed: dict[str, str] = {}
        systems = all_systems(models, self._host)
        self._ours = [system for system in systems if system.peer == OURS]
        self._peers = [system for system in systems if system.peer in peers]

    def results(self) -> Results:
        """Measure all figures."""
        pool, options = self._pool, self._options
        with ExitStack() as ours, ExitStack() as peers:
            server, served = self._start_ours(ours)
            (bare,) = (system for system in self._ours if system.kind is Kind.RUNNER)
            work = throughput.work_for(pool, bare, Workload(options.documents))
            for system in self._peers:
                self._start_peer(system, work, peers)
            throughput.find_best_batches(pool, work)
            throughput.take_rounds(pool, work)
            requests = options.interactive_requests + 1
            interactive.take_turns(pool, Workload(options.interactive_documents, seed=4).prepared(requests))
            in_levels = Workload(options.documents, seed=5).prepared(_REQUESTS_IN_LEVELS)
            by_level = levels.take(pool, [*served, *self._fastest_infinity()], in_levels)
            peers.close()
            server.process.go()
            target = served[0].target
            beside = self._take("beside_bulk", lambda: beside_bulk.take(target, options))
            overloaded = self._take("overload", lambda: overload.take(target, options))
        added = self._take("memory", self._memory)
        start = self._take("cold_start", lambda: cold_start.take(self._logs / "cold-start.log", options))
        return Results(
            date=datetime.now(UTC).date().isoformat(),
            host=self._host,
            options=options,
            served=served[0].info,
            settings={name: value for name, value in os.environ.items() if name.startswith("RERANK_")},
            work=len(work.requests) * options.documents,
            records=list(pool.records.values()),
            levels=by_level,
            beside_bulk=beside,
            overload=overloaded,
            memory=added,
            cold_start=start,
            failed=self._failed,
        )

    def _take(self, figure: str, take: Callable[[], T]) -> T | None:
        """Measure a figure of this server alone. A failure is recorded, and the other figures continue."""
        self._pool.say(figure.replace("_", " "))
        try:
            return take()
        except _FAILURES as error:
            self._failed[figure] = str(error)
            self._pool.say(f"{figure} cannot be measured: {error}")
            return None

    def _start_ours(self, stack: ExitStack) -> tuple[OurServer, list[ServedSystem]]:
        """Start the server, for both protocols, and the bare engine, which loads the model again."""
        self._pool.say("starting the server and the bare engine")
        python = Path(sys.executable)
        versions = versions_of(python, _OUR_PACKAGES)
        server = stack.enter_context(our_server(self._logs / "server.log", self._models / BUNDLE))
        served = served_systems(server, [system for system in self._ours if system.kind is not Kind.RUNNER], versions)
        server.process.stop()
        for running in served:
            self._pool.add(running)
        for system in self._ours:
            if system.kind is Kind.RUNNER:
                log = self._logs / "bare.log"
                runner = running_runner(system, python, self._models, log, self._host.cores)
                self._pool.add(stack.enter_context(runner))
        return server, served

    def _start_peer(self, system: System, work: PreparedRequests, stack: ExitStack) -> None:
        pool = self._pool
        try:
            python = python_of(system.peer, pool.say)
            pool.say(f"starting {system.name} {system.precision}")
            log = self._logs / f"{system.slug}.log"
            if system.kind is Kind.INFINITY:
                batch = pool.record(system).batch = self._best_batch(system, python, log, work)
                running = stack.enter_context(running_infinity(system, python, self._models, log, batch))
                running.versions = versions_of(python, _INFINITYS_PACKAGES)
            else:
                runner = running_runner(system, python, self._models, log, self._host.cores)
                running = stack.enter_context(runner)
            pool.add(running)
        except _FAILURES as error:
            pool.remove(system, error)

    def _best_batch(self, system: System, python: Path, log: Path, work: PreparedRequests) -> int | None:
        """Return the best batch size of a served peer, which restarts for each size; None for its default."""
        sizes = self._options.served_batches
        if not system.is_tuned or len(sizes) == 1:
            return sizes[0] if system.is_tuned else None
        speeds = {}
        part = throughput.part_of(work)
        for size in sizes:
            with running_infinity(system, python, self._models, log, size) as running, running.on_turn():
                for _ in range(2):  # the first one warms up
                    turn = running.work(part, repeats=1, clients=self._options.clients, batch=size)
                speeds[size] = turn.documents_per_second
        listed = ", ".join(f"{size}: {speed:.1f}" for size, speed in speeds.items())
        self._pool.say(f"{system.name} {system.precision}: documents/s by batch {listed}")
        return max(speeds, key=speeds.__getitem__)

    def _fastest_infinity(self) -> list[ServedSystem]:
        """Return the fastest running configuration of Infinity; an empty list if there is none."""
        running = [running for running in self._pool.running() if isinstance(running, ServedSystem)]
        peers = [running for running in running if running.system.peer != OURS]
        return sorted(peers, key=lambda running: self._pool.records[running.system].speed or 0.0)[-1:]

    def _memory(self) -> memory.Memory:
        """Measure memory on a new server: after bulk requests a server has memory in reserve and adds less."""
        (system,) = (system for system in self._ours if system.kind is Kind.GRPC)
        with our_server(self._logs / "memory.log", self._models / BUNDLE) as server:
            (running,) = served_systems(server, [system], {})
            return memory.take(server.process, running.target, self._options)
