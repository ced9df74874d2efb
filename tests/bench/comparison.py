"""Measure one part: start this server and the peers of the part, and let them take turns."""

import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from bench.engine_choice import TUNED_VARIABLES
from bench.environments import NotInstalled, our_runtime, python_of, versions_of
from bench.figures import interactive, relevance, throughput
from bench.pool import SystemPool
from bench.processes import Died
from bench.running_systems import CannotRun, ServedSystem, running_infinity, running_runner, served_systems
from bench.servers import OurServer, our_server
from bench.systems import OURS, REFERENCE, SERVED, Kind, System, Use, bundled_path
from rerank_service.errors import OperatorError
from rerank_service.tools.loadtest.workload import PreparedRequests, Workload

FAILURES = (CannotRun, Died, NotInstalled, OperatorError, OSError)
"""Errors that remove one system and let the others continue."""
_OUR_PACKAGES = ("rerank-service", our_runtime(), "tokenizers", "grpcio", "uvicorn")
_INFINITYS_PACKAGES = ("infinity-emb", "torch", "optimum", "transformers", "onnxruntime")


class Comparison:
    """The systems of one part, which run until `stack` and `peers` are closed."""

    def __init__(
        self, pool: SystemPool, bundle: Path | None, models: Path, logs: Path, cores: int, stack: ExitStack
    ) -> None:
        """`bundle` is the output folder of bench.model; None for the model that is bundled with the server.
        `models` is the folder of the peers' models."""
        self.pool = pool
        self._bundle = bundle
        self._models = models
        self._logs = logs
        self._cores = cores
        self._stack = stack
        self.peers = stack.enter_context(ExitStack())
        """Closing it stops the peers and the engines that were chosen by name."""

    def start_ours(self, systems: Sequence[System]) -> tuple[OurServer, list[ServedSystem]]:
        """Start this server, for both protocols, its bare engine, and a server for each engine chosen by name."""
        self.pool.say("starting this server")
        versions = versions_of(Path(sys.executable), _OUR_PACKAGES)
        folder = bundled_path(self._bundle, SERVED)
        server = self._stack.enter_context(our_server(self._logs / "server.log", folder))
        main = [system for system in systems if system.use is Use.OURS]
        served = served_systems(server, main, versions)
        server.process.stop()
        for running in served:
            self.pool.add(running)
        for system in systems:
            if system.use is Use.BARE:
                self._start_bare(system)
            elif system.use is Use.ENGINE:
                self._start_engine(system, versions)
        return server, served

    def _start_bare(self, system: System) -> None:
        log, folder = self._logs / "bare.log", self._models / system.model
        self.pool.add(self.peers.enter_context(running_runner(system, Path(sys.executable), folder, log, self._cores)))

    def _start_engine(self, system: System, versions: Mapping[str, str]) -> None:
        """Start a server with a provider and a precision, and its own defaults for the rest."""
        log = self._logs / f"{system.slug}.log"
        try:
            self.pool.say(f"starting {system.name} {system.precision}")
            own: dict[str, str | None] = dict.fromkeys(TUNED_VARIABLES)
            folder = bundled_path(self._bundle, system)
            server = self.peers.enter_context(our_server(log, folder, system.arguments, own))
            (running,) = served_systems(server, [system], dict(versions))
            server.process.stop()
            self.pool.add(running)
        except FAILURES as error:
            self.pool.remove(system, error)

    def measure(self, peers: Sequence[System]) -> PreparedRequests:
        """Start the peers, and measure throughput, relevance loss and single requests. Return the work of a turn."""
        pool, options = self.pool, self.pool.options
        work = throughput.work_for(pool, SERVED, Workload(options.documents))
        for system in peers:
            self._start_peer(system, work)
        throughput.find_best_batches(pool, work)
        throughput.take_rounds(pool, SERVED, work)
        requests = Workload(options.interactive_documents, seed=4).prepared(options.interactive_requests + 1)
        interactive.take_turns(pool, requests)
        relevance.take(pool, REFERENCE, relevance.parity_requests(options.parity_queries))
        return work

    def _start_peer(self, system: System, work: PreparedRequests) -> None:
        pool, log = self.pool, self._logs / f"{system.slug}.log"
        if system.cannot_run:
            pool.remove(system, system.cannot_run)
            return
        try:
            python = python_of(system.peer, pool.say)
            pool.say(f"starting {system.name} {system.precision}")
            folder = self._models / system.model
            if system.kind is Kind.INFINITY:
                batch = pool.record(system).batch = self._best_batch(system, python, work)
                running = self.peers.enter_context(running_infinity(system, python, folder, log, batch))
                running.versions = versions_of(python, _INFINITYS_PACKAGES)
            else:
                running = self.peers.enter_context(running_runner(system, python, folder, log, self._cores))
            pool.add(running)
        except FAILURES as error:
            pool.remove(system, error)

    def _best_batch(self, system: System, python: Path, work: PreparedRequests) -> int | None:
        """Return the best batch size of a served peer, which restarts for each size; None for its default."""
        sizes = self.pool.options.served_batches
        if not system.is_tuned or len(sizes) == 1:
            return sizes[0] if system.is_tuned else None
        speeds = {}
        part, log = throughput.part_of(work), self._logs / f"{system.slug}.log"
        for size in sizes:
            folder = self._models / system.model
            with running_infinity(system, python, folder, log, size) as running, running.on_turn():
                for _ in range(2):  # the first one warms up
                    turn = running.work(part, repeats=1, clients=self.pool.options.clients, batch=size)
                speeds[size] = turn.documents_per_second
        listed = ", ".join(f"{size}: {speed:.1f}" for size, speed in speeds.items())
        self.pool.say(f"{system.name} {system.precision}: documents/s by batch {listed}")
        return max(speeds, key=speeds.__getitem__)

    def fastest_served_peer(self) -> list[ServedSystem]:
        """Return the fastest running peer that is a server; an empty list if there is none."""
        running = [running for running in self.pool.running() if isinstance(running, ServedSystem)]
        peers = [running for running in running if running.system.peer != OURS]
        return sorted(peers, key=lambda running: self.pool.records[running.system].speed or 0.0)[-1:]
