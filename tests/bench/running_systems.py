"""Running systems: servers and runners, with one interface for the figures."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import httpx

from bench.environments import ROOT
from bench.event_loop import run
from bench.processes import Child, Runner, child
from bench.servers import OurServer, infinity
from bench.systems import Kind, System
from rerank.client import RerankClient
from rerank_service.tools.loadtest.address import target
from rerank_service.tools.loadtest.generator import Amount, closed_loop
from rerank_service.tools.loadtest.summary import Summary, summarise
from rerank_service.tools.loadtest.target import ServerInfo, Target
from rerank_service.tools.loadtest.workload import PreparedRequests, Request
from rerank_service.tools.server_address import server_address

_LOAD_SECONDS = 600.0
"""Time limit of loading; some peers quantise the model first."""
_RUN_SECONDS = 900.0
_CALL_SECONDS = 300.0
"""Deadline of one call to a server."""


class CannotRun(Exception):
    """A system failed at a request; the message gives the reason."""


@dataclass(frozen=True, slots=True)
class Turn:
    """Throughput of a system in one turn."""

    documents_per_second: float
    summary: Summary | None = None
    """Summary of the calls; None for a runner."""


class RunningSystem(Protocol):
    """A started system. Its process is stopped (SIGSTOP) outside its turns."""

    system: System
    versions: dict[str, str]

    def on_turn(self) -> AbstractContextManager[None]:
        """Let the process run during the block."""

    def work(self, requests: PreparedRequests, *, repeats: int, clients: int, batch: int | None) -> Turn:
        """Do the work once; a server does it `repeats` times, with `clients` clients at the same time."""

    def rank(self, request: Request, batch: int | None) -> float:
        """Return the duration of a single request in seconds."""

    def scores(self, request: Request, batch: int | None) -> list[float]:
        """Return the probability of each document, in the order of the request."""


class _Stopping:
    """Stop a child process outside its turns."""

    def __init__(self, process: Child) -> None:
        self._process = process

    @contextmanager
    def on_turn(self) -> Iterator[None]:
        """Let the process run during the block; see `RunningSystem.on_turn`."""
        self._process.go()
        try:
            yield
        finally:
            self._process.stop()


class ServedSystem(_Stopping):
    """A running server."""

    def __init__(self, system: System, process: Child, address: str, versions: dict[str, str]) -> None:
        """`address` has the form of `rerank bench --server`. The process must be running."""
        super().__init__(process)
        self.system = system
        self.versions = versions
        self._address = address
        self._target = target(server_address(address))
        self.info: ServerInfo = run(self._target.probe())

    @property
    def target(self) -> Target:
        """Target of its load."""
        return self._target

    def work(self, requests: PreparedRequests, *, repeats: int, clients: int, batch: int | None) -> Turn:
        """Send the work; see `RunningSystem.work`. A server forms its own batches, so `batch` is ignored."""
        amount = Amount(requests=repeats * len(requests.requests))
        calls = closed_loop(self._target, requests.repeated(repeats), amount, clients=clients, deadline=_CALL_SECONDS)
        summary = summarise(run(calls))
        if summary.errors:
            raise CannotRun(f"{summary.errors} {summary.messages}")
        return Turn(summary.documents_per_second, summary)

    def rank(self, request: Request, batch: int | None) -> float:
        """Return the duration of one call on an open connection, in seconds."""
        one = PreparedRequests((request,))
        outcomes = run(closed_loop(self._target, one, Amount(requests=1), clients=1, deadline=_CALL_SECONDS))
        if outcomes[0].error:
            raise CannotRun(f"{outcomes[0].error}: {outcomes[0].message}")
        return outcomes[0].seconds

    def scores(self, request: Request, batch: int | None) -> list[float]:
        """Return the probabilities, over gRPC with our client or over HTTP."""
        if self.system.kind is Kind.GRPC:
            with RerankClient(self._address.removeprefix("grpc://"), timeout=_CALL_SECONDS) as client:
                results = client.rerank(request.query, request.documents).results
                scores = {result.index: result.relevance_score for result in results}
        else:
            body = {"query": request.query, "documents": request.documents}
            response = httpx.post(f"{self._address}/rerank", json=body, timeout=_CALL_SECONDS, trust_env=False).json()
            scores = {result["index"]: result["relevance_score"] for result in response["results"]}
        return [scores[index] for index in range(len(scores))]


class RunnerSystem(_Stopping):
    """A runner process, over JSON lines (runners/protocol.py)."""

    def __init__(self, system: System, process: Child, model: Path) -> None:
        super().__init__(process)
        self.system = system
        self._runner = Runner(process)
        loaded = self._runner.ask({"do": "load", "model": str(model), **system.load}, _LOAD_SECONDS)
        self.versions: dict[str, str] = loaded["versions"]

    def work(self, requests: PreparedRequests, *, repeats: int, clients: int, batch: int | None) -> Turn:
        """Do the work once; `repeats` and `clients` are ignored. A runner uses the whole machine from start to end."""
        seconds, _ = self._run(requests.requests, batch)
        return Turn(sum(len(request.documents) for request in requests.requests) / seconds)

    def rank(self, request: Request, batch: int | None) -> float:
        """Return the duration of one request in seconds, without preparation."""
        return self._run([request], batch)[0]

    def scores(self, request: Request, batch: int | None) -> list[float]:
        """Return the probabilities of one request."""
        return self._run([request], batch)[1][0]

    def _run(self, requests: Sequence[Request], batch: int | None) -> tuple[float, list[list[float]]]:
        prepared = [(request.query, request.documents) for request in requests]
        self._runner.ask({"do": "prepare", "requests": prepared}, _RUN_SECONDS)
        done = self._runner.ask({"do": "run", "batch": batch}, _RUN_SECONDS)
        return done["seconds"], done["scores"]


@contextmanager
def running_runner(system: System, python: Path, model: Path, log: Path, cores: int) -> Iterator[RunningSystem]:
    """Start a runner and load the model in a folder. Its process is stopped until its turn."""
    environment = {
        "PYTHONPATH": str(ROOT / "tests"),
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": str(cores),  # torch ignores the CPU quota of a container
        "TOKENIZERS_PARALLELISM": "true",
    }
    command = [str(python), "-m", f"bench.runners.{system.runner}"]
    with child(command, log, environment=environment, folder=ROOT) as process:
        running = RunnerSystem(system, process, model)
        process.stop()
        yield running


@contextmanager
def running_infinity(
    system: System, python: Path, model: Path, log: Path, batch: int | None
) -> Iterator[RunningSystem]:
    """Start Infinity with the model in a folder. Its process is stopped until its turn."""
    arguments = [*system.arguments, *(("--batch-size", str(batch)) if batch else ())]
    with infinity(python, log, model, arguments) as (process, url):
        running = ServedSystem(system, process, url, {})
        process.stop()
        yield running


def served_systems(server: OurServer, systems: Sequence[System], versions: dict[str, str]) -> list[ServedSystem]:
    """Return one running system for each protocol of our server, which is one process."""
    addresses = {Kind.GRPC: f"grpc://{server.grpc}", Kind.REST: server.rest}
    return [ServedSystem(system, server.process, addresses[system.kind], versions) for system in systems]
