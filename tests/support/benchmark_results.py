"""Results of a benchmark, computed by hand."""

from collections.abc import Callable
from pathlib import Path

from bench.figures.beside_bulk import BesideBulk
from bench.figures.levels import LoadLevel
from bench.figures.memory import Memory
from bench.figures.overload import Overload
from bench.host import Host
from bench.options import QUICK
from bench.parts import PARTS, RANDOM, SERVER, Alone, Part, PartResults
from bench.peers import peers_of_bundled_model, peers_of_random_model
from bench.pool import Loss, Record
from bench.results import Results
from bench.systems import System, Use, our_systems
from rerank_service.tools.loadtest.generator import Outcome
from rerank_service.tools.loadtest.summary import Summary, summarise
from rerank_service.tools.loadtest.target import ServerInfo, Usage

ZEN4 = Host("AMD EPYC", ("avx512_bf16", "avx512_vnni", "avx2"), 2, "3.11.7")
ICE_LAKE = Host("Intel Xeon", ("avx512_vnni", "avx2"), 2, "3.11.7")
SPEEDS = {"gRPC": 90.0, "REST": 80.0, "bare": 100.0, "sentence-transformers": 30.0, "infinity": 20.0}
"""Documents per second in the first round, by kind or peer; the second round has half of it."""


def summary(seconds: float, documents: int = 10, refused: float = 0.0) -> Summary:
    """Return the summary of one call, and of a refused call if `refused` is its duration."""
    outcomes = [Outcome(begun=0.0, ended=seconds, documents=documents, usage=Usage(100, 104))]
    if refused:
        failure = Outcome(
            begun=0.0, ended=refused, documents=documents, error="RESOURCE_EXHAUSTED", message="later", refused=True
        )
        outcomes.append(failure)
    return summarise(outcomes)


def record(system: System) -> Record:
    """Return a record with fixed measurements; FlashRank did not run."""
    if system.peer == "flashrank":
        return Record(system=system, failed="no wheel | for this Python")
    if system.cannot_run:
        return Record(system=system, failed=system.cannot_run)
    key = "bare" if system.use is Use.BARE else system.kind.value
    speed = SPEEDS.get(key, SPEEDS.get(system.peer, 10.0))
    return Record(
        system=system,
        batch=8,
        documents_per_second=[speed, speed / 2],
        ours=[90.0, 45.0],
        interactive_seconds=[0.2, 0.3],
        padding=1.04 if system.use is Use.OURS else None,
        loss=Loss(0.0, 0.0, 4),
        versions={"package": "1"},
    )


ALONE = Alone(
    beside_bulk=BesideBulk(summary(0.1), summary(0.3), summary(1.0)),
    overload=Overload((summary(1.0, 20), summary(1.0, 20)), summary(1.0, 19, refused=0.06)),
    memory=Memory(300.0, 420.0),
    cold_start=1.25,
    failed={},
)


def part_results(part: Part, host: Host, change: Callable[[Record], Record]) -> PartResults:
    """Return the results of a part, each record changed."""
    if part.model == RANDOM:
        peers = [each for each in peers_of_random_model(Path("models"), host) if each.peer in part.peers]
    else:
        peers = peers_of_bundled_model(Path("starter"), host)
    is_server = part.name == SERVER
    return PartResults(
        part=part,
        date="2026-01-01",
        seconds=60.0,
        served=ServerInfo("m", "fp32", "CPUExecutionProvider"),
        settings={},
        work=160,
        records=[change(record(system)) for system in [*our_systems(host), *peers]],
        levels=[LoadLevel("gRPC", clients, summary(clients / 10)) for clients in (1, 4)] if is_server else [],
        alone=ALONE if is_server else None,
    )


def results(host: Host = ZEN4, change: Callable[[Record], Record] = lambda record: record) -> Results:
    """Return the results of a benchmark with all parts."""
    return Results(host=host, options=QUICK, parts=[part_results(part, host, change) for part in PARTS])
