"""Pool of the running systems of a benchmark, with the measurements of each. A system that fails leaves the pool."""

from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median
from typing import TypeVar

from bench.options import Options
from bench.processes import Died
from bench.running_systems import CannotRun, RunningSystem
from bench.systems import System
from rerank_service.models.tuning.relevance_loss import MAX_MEAN_LOSS, MAX_WORST_LOSS
from rerank_service.tools.loadtest.workload import PreparedRequests

T = TypeVar("T")

Say = Callable[[str], None]
"""Print a progress line."""


@dataclass(frozen=True, slots=True)
class Loss:
    """Relevance loss of a system on queries of the parity set, from 0 to 1."""

    mean: float
    worst: float
    """Loss of the query that loses most."""
    queries: int

    @property
    def passes(self) -> bool:
        """True if it is within the bounds of `auto`."""
        return self.mean <= MAX_MEAN_LOSS and self.worst <= MAX_WORST_LOSS

    def is_no_worse_than(self, other: "Loss") -> bool:
        """True if both mean and worst query lose no more than those of `other`."""
        return self.mean <= other.mean and self.worst <= other.worst


@dataclass(slots=True, kw_only=True)
class Record:
    """Measurements of one system."""

    system: System
    batch: int | None = None
    """Best batch size; for the bare engine its padded tokens. None for the system's default."""
    documents_per_second: list[float] = field(default_factory=list)
    """One value per round. Values of the same round are compared."""
    ours: list[float] = field(default_factory=list)
    """Documents per second of this server in the same rounds."""
    interactive_seconds: list[float] = field(default_factory=list)
    """Duration of each interactive request, in seconds."""
    padding: float | None = None
    """Padded tokens / tokens; None if the system does not report them."""
    loss: Loss | None = None
    """Relevance loss; None if it was not measured."""
    failed: str | None = None
    """Reason why the system did not start or left the pool."""
    versions: dict[str, str] = field(default_factory=dict)
    """Versions by package."""

    @property
    def speed(self) -> float | None:
        """Median documents per second of the rounds."""
        return median(self.documents_per_second) if self.documents_per_second else None

    @property
    def ratio(self) -> float | None:
        """Median over the rounds of documents per second of this server / of the system.

        Values of one round are measured close together, so that changes of the machine cancel out.
        """
        pairs = list(zip(self.ours, self.documents_per_second, strict=False))
        return median(ours / theirs for ours, theirs in pairs) if pairs else None

    @property
    def interactive(self) -> float | None:
        """Median duration of an interactive request, in seconds."""
        return median(self.interactive_seconds) if self.interactive_seconds else None


class SystemPool:
    """Running systems and the records of all systems."""

    def __init__(self, options: Options, say: Say) -> None:
        self.options = options
        self.say = say
        self.records: dict[System, Record] = {}
        self._running: dict[System, RunningSystem] = {}

    def add(self, running: RunningSystem) -> None:
        """Add a started system."""
        record = self.record(running.system)
        record.versions = running.versions
        self._running[running.system] = running

    def record(self, system: System) -> Record:
        """Return the record of a system. The first call creates it."""
        return self.records.setdefault(system, Record(system=system))

    def remove(self, system: System, reason: object) -> None:
        """Remove a system, and record the reason."""
        self.record(system).failed = str(reason)
        self._running.pop(system, None)
        self.say(f"{system.name} {system.precision} stopped: {reason}")

    def systems(self) -> list[System]:
        """Return the systems in the pool, in the order in which they were added."""
        return list(self._running)

    def running(self) -> list[RunningSystem]:
        """Return the running systems, in the order in which they were added."""
        return list(self._running.values())

    def ask(self, system: System, measure: Callable[[RunningSystem], T]) -> T | None:
        """Run `measure` in a turn of a system. If it fails, remove the system and return None."""
        running = self._running[system]
        try:
            with running.on_turn():
                return measure(running)
        except (CannotRun, Died, OSError) as error:
            self.remove(system, error)
            return None

    def work(self, system: System, requests: PreparedRequests) -> None:
        """Let a system do the work of one round, and record its throughput."""
        record = self.records[system]
        repeats, clients = self.options.served_repeats, self.options.clients
        turn = self.ask(
            system, lambda running: running.work(requests, repeats=repeats, clients=clients, batch=record.batch)
        )
        if turn is not None:
            record.documents_per_second.append(turn.documents_per_second)
            if turn.summary is not None and turn.summary.padding is not None:
                record.padding = turn.summary.padding
