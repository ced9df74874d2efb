"""Contestants that run: what the figures ask of them, whether they are a server or a runner."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import httpx

from bench.contestants import Contestant, Kind
from bench.environments import ROOT
from bench.loop import run
from bench.processes import Child, Runner, child
from bench.servers import OurServer, infinity
from rerank.client import RerankClient
from rerank_service.tools.loadtest.address import target
from rerank_service.tools.loadtest.generator import Amount, closed
from rerank_service.tools.loadtest.summary import Summary, summarise
from rerank_service.tools.loadtest.target import Served, Target
from rerank_service.tools.loadtest.workload import Prepared, Request
from rerank_service.tools.server_address import server_address

_LOAD_SECONDS = 600.0
"""Some quantise the model first."""
_RUN_SECONDS = 900.0


class CannotRun(Exception):
    """A contestant does not do what is asked of it, and why."""


@dataclass(frozen=True, slots=True)
class Turn:
    """What a contestant did with the work of a turn."""

    documents_per_second: float
    summary: Summary | None = None
    """Of a served one."""


class Entrant(Protocol):
    """A contestant that runs; stopped while it is not on turn."""

    contestant: Contestant
    versions: dict[str, str]

    def on_turn(self) -> AbstractContextManager[None]:
        """Let it run while the block does."""

    def work(self, requests: Prepared, *, repeats: int, clients: int, batch: int | None) -> Turn:
        """Do all of the work, a served one `repeats` times and by so many clients at once."""

    def rank(self, request: Request, batch: int | None) -> float:
        """Seconds that one request takes alone."""

    def scores(self, request: Request, batch: int | None) -> list[float]:
        """Probabilities, in the order of its documents."""


class _Stopping:
    """Stops a child but for its turns."""

    def __init__(self, process: Child) -> None:
        self._process = process

    @contextmanager
    def on_turn(self) -> Iterator[None]:
        """As in Entrant."""
        self._process.go()
        try:
            yield
        finally:
            self._process.stop()


class ServedEntrant(_Stopping):
    """A server, over the network."""

    def __init__(self, contestant: Contestant, process: Child, address: str, versions: dict[str, str]) -> None:
        """`address` is what `rerank bench` would be given. Its process must be on turn."""
        super().__init__(process)
        self.contestant = contestant
        self.versions = versions
        self._address = address
        self._target = target(server_address(address))
        self.served: Served = run(self._target.probe())

    @property
    def target(self) -> Target:
        """Where its load goes."""
        return self._target

    def work(self, requests: Prepared, *, repeats: int, clients: int, batch: int | None) -> Turn:
        """Served ones make their batches themselves."""
        amount = Amount(requests=repeats * len(requests.requests))
        summary = summarise(run(closed(self._target, requests.repeated(repeats), amount, clients=clients)))
        if summary.errors:
            raise CannotRun(f"{summary.errors} {summary.messages}")
        return Turn(summary.documents_per_second, summary)

    def rank(self, request: Request, batch: int | None) -> float:
        """One call, on a connection that is there."""
        outcomes = run(closed(self._target, Prepared((request,)), Amount(requests=1), clients=1))
        if outcomes[0].error:
            raise CannotRun(f"{outcomes[0].error}: {outcomes[0].message}")
        return outcomes[0].seconds

    def scores(self, request: Request, batch: int | None) -> list[float]:
        """Over gRPC by our client, else by a plain post."""
        if self.contestant.kind is Kind.GRPC:
            with RerankClient(self._address.removeprefix("grpc://")) as client:
                results = client.rerank(request.query, request.documents).results
                scores = {one.index: one.relevance_score for one in results}
        else:
            body = {"query": request.query, "documents": request.documents}
            answer = httpx.post(f"{self._address}/rerank", json=body, timeout=None, trust_env=False).json()
            scores = {one["index"]: one["relevance_score"] for one in answer["results"]}
        return [scores[index] for index in range(len(scores))]


class RunnerEntrant(_Stopping):
    """A runner, by JSON lines."""

    def __init__(self, contestant: Contestant, process: Child, model: Path) -> None:
        super().__init__(process)
        self.contestant = contestant
        self._runner = Runner(process)
        loaded = self._runner.ask({"do": "load", "model": str(model), **contestant.load}, _LOAD_SECONDS)
        self.versions: dict[str, str] = loaded["versions"]

    def work(self, requests: Prepared, *, repeats: int, clients: int, batch: int | None) -> Turn:
        """Once: it has all of the machine from the first moment to the last."""
        seconds, _ = self._run(requests.requests, batch)
        return Turn(sum(len(request.documents) for request in requests.requests) / seconds)

    def rank(self, request: Request, batch: int | None) -> float:
        """Without what may be done beforehand."""
        return self._run([request], batch)[0]

    def scores(self, request: Request, batch: int | None) -> list[float]:
        """As it gives them."""
        return self._run([request], batch)[1][0]

    def _run(self, requests: Sequence[Request], batch: int | None) -> tuple[float, list[list[float]]]:
        prepared = [(request.query, request.documents) for request in requests]
        self._runner.ask({"do": "prepare", "requests": prepared}, _RUN_SECONDS)
        done = self._runner.ask({"do": "run", "batch": batch}, _RUN_SECONDS)
        return done["seconds"], done["scores"]


@contextmanager
def running_runner(contestant: Contestant, python: Path, models: Path, log: Path, cores: int) -> Iterator[Entrant]:
    """Start a runner and load its model; it is stopped until its turn."""
    environment = {
        "PYTHONPATH": str(ROOT / "tests"),
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": str(cores),  # torch counts the host's cores, not those of a container's quota
        "TOKENIZERS_PARALLELISM": "true",
    }
    command = [str(python), "-m", f"bench.runners.{contestant.runner}"]
    with child(command, log, environment=environment, folder=ROOT) as process:
        entrant = RunnerEntrant(contestant, process, models / contestant.model)
        process.stop()
        yield entrant


@contextmanager
def running_infinity(
    contestant: Contestant, python: Path, models: Path, log: Path, batch: int | None
) -> Iterator[Entrant]:
    """Start Infinity; it is stopped until its turn."""
    arguments = [*contestant.arguments, *(("--batch-size", str(batch)) if batch else ())]
    with infinity(python, log, models / contestant.model, arguments) as (process, url):
        entrant = ServedEntrant(contestant, process, url, {})
        process.stop()
        yield entrant


def entrants_of(server: OurServer, contestants: Sequence[Contestant], versions: dict[str, str]) -> list[ServedEntrant]:
    """Our server is one process, whichever protocol is asked."""
    addresses = {Kind.GRPC: f"grpc://{server.grpc}", Kind.REST: server.rest}
    return [ServedEntrant(one, server.process, addresses[one.kind], versions) for one in contestants]
