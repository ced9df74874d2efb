"""The flow of a run: start all, let them take turns, end the peers, measure what concerns this server alone."""

import os
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from bench.contestants import OURS, Contestant, Kind, contestants
from bench.entrants import CannotRun, ServedEntrant, entrants_of, running_infinity, running_runner
from bench.environments import NotInstalled, our_runtime, python_of, versions_of
from bench.field import Field
from bench.figures import beside_bulk, cold_start, interactive, levels, memory, overload, throughput
from bench.folders import BUNDLE
from bench.host import read_host
from bench.processes import Died
from bench.results import Results
from bench.servers import OurServer, our_server
from rerank_service.errors import OperatorError
from rerank_service.tools.loadtest.workload import Prepared, Workload

T = TypeVar("T")

_FAILURES = (CannotRun, Died, NotInstalled, OperatorError, OSError)
"""What keeps one contestant from taking part, and the others not."""
_REQUESTS_IN_LEVELS = 256
"""Made beforehand; they come again where more are sent."""
_OUR_PACKAGES = ("rerank-service", our_runtime(), "tokenizers", "grpcio", "uvicorn")
_INFINITYS_PACKAGES = ("infinity-emb", "torch", "optimum", "transformers", "onnxruntime")


class Run:
    """One run with some of the peers."""

    def __init__(self, field: Field, models: Path, logs: Path, peers: Sequence[str]) -> None:
        self._field = field
        self._options = field.options
        self._models = models
        self._logs = logs
        self._host = read_host()
        self._failed: dict[str, str] = {}
        everybody = contestants(models, self._host)
        self._ours = [one for one in everybody if one.peer == OURS]
        self._peers = [one for one in everybody if one.peer in peers]

    def results(self) -> Results:
        """Do it."""
        field, options = self._field, self._options
        with ExitStack() as ours, ExitStack() as peers:
            server, served = self._start_ours(ours)
            (bare,) = (one for one in self._ours if one.kind is Kind.RUNNER)
            work = throughput.work_for(field, bare, Workload(options.documents))
            for contestant in self._peers:
                self._start_peer(contestant, work, peers)
            throughput.find_best_batches(field, work)
            throughput.take_rounds(field, work)
            requests = options.interactive_requests + 1
            interactive.take_turns(field, Workload(options.interactive_documents, seed=4).prepared(requests))
            in_levels = Workload(options.documents, seed=5).prepared(_REQUESTS_IN_LEVELS)
            by_level = levels.take(field, [*served, *self._quickest_infinity()], in_levels)
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
            served=served[0].served,
            settings={name: value for name, value in os.environ.items() if name.startswith("RERANK_")},
            work=len(work.requests) * options.documents,
            records=list(field.records.values()),
            levels=by_level,
            beside_bulk=beside,
            overload=overloaded,
            memory=added,
            cold_start=start,
            failed=self._failed,
        )

    def _take(self, figure: str, take: Callable[[], T]) -> T | None:
        """A figure of this server alone; if it cannot be taken, the others are not lost."""
        self._field.say(figure.replace("_", " "))
        try:
            return take()
        except _FAILURES as error:
            self._failed[figure] = str(error)
            self._field.say(f"{figure} cannot be taken: {error}")
            return None

    def _start_ours(self, stack: ExitStack) -> tuple[OurServer, list[ServedEntrant]]:
        """The server, over both protocols, and the bare engine, which has another copy of the model."""
        self._field.say("starting the server and the bare engine")
        python = Path(sys.executable)
        versions = versions_of(python, _OUR_PACKAGES)
        server = stack.enter_context(our_server(self._logs / "server.log", self._models / BUNDLE))
        served = entrants_of(server, [one for one in self._ours if one.kind is not Kind.RUNNER], versions)
        server.process.stop()
        for entrant in served:
            self._field.enter(entrant)
        for contestant in self._ours:
            if contestant.kind is Kind.RUNNER:
                log = self._logs / "bare.log"
                runner = running_runner(contestant, python, self._models, log, self._host.cores)
                self._field.enter(stack.enter_context(runner))
        return server, served

    def _start_peer(self, contestant: Contestant, work: Prepared, stack: ExitStack) -> None:
        field = self._field
        try:
            python = python_of(contestant.peer, field.say)
            field.say(f"starting {contestant.name} {contestant.precision}")
            log = self._logs / f"{contestant.slug}.log"
            if contestant.kind is Kind.INFINITY:
                batch = field.record(contestant).batch = self._best_batch(contestant, python, log, work)
                entrant = stack.enter_context(running_infinity(contestant, python, self._models, log, batch))
                entrant.versions = versions_of(python, _INFINITYS_PACKAGES)
            else:
                runner = running_runner(contestant, python, self._models, log, self._host.cores)
                entrant = stack.enter_context(runner)
            field.enter(entrant)
        except _FAILURES as error:
            field.leave(contestant, error)

    def _best_batch(self, contestant: Contestant, python: Path, log: Path, work: Prepared) -> int | None:
        """Of a server, which has to be started anew for each size."""
        sizes = self._options.served_batches
        if not contestant.is_tuned or len(sizes) == 1:
            return sizes[0] if contestant.is_tuned else None
        speeds = {}
        part = throughput.part_of(work)
        for size in sizes:
            with running_infinity(contestant, python, self._models, log, size) as entrant, entrant.on_turn():
                for _ in range(2):  # the first one warms up
                    turn = entrant.work(part, repeats=1, clients=self._options.clients, batch=size)
                speeds[size] = turn.documents_per_second
        found = ", ".join(f"{size}: {speed:.1f}" for size, speed in speeds.items())
        self._field.say(f"{contestant.name} {contestant.precision}: documents/s by batch {found}")
        return max(speeds, key=speeds.__getitem__)

    def _quickest_infinity(self) -> list[ServedEntrant]:
        """None, where none runs."""
        running = [entrant for entrant in self._field.entrants() if isinstance(entrant, ServedEntrant)]
        peers = [entrant for entrant in running if entrant.contestant.peer != OURS]
        return sorted(peers, key=lambda one: self._field.records[one.contestant].speed or 0.0)[-1:]

    def _memory(self) -> memory.Memory:
        """Of a server of its own: one that has had bulk holds memory already, and adds less."""
        (contestant,) = (one for one in self._ours if one.kind is Kind.GRPC)
        with our_server(self._logs / "memory.log", self._models / BUNDLE) as server:
            (entrant,) = entrants_of(server, [contestant], {})
            return memory.take(server.process, entrant.target, self._options)
