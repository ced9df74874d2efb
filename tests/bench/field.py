"""All contestants of a run: those that run, and why the others do not."""

from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median
from typing import TypeVar

from bench.contestants import Contestant, Use
from bench.entrants import CannotRun, Entrant
from bench.options import Options
from bench.processes import Died
from rerank_service.tools.loadtest.workload import Prepared

T = TypeVar("T")

Say = Callable[[str], None]


@dataclass(slots=True)
class Record:
    """What was measured of one contestant."""

    contestant: Contestant
    batch: int | None = None
    """The best found; for the bare engine a budget of tokens. None for its own default."""
    documents_per_second: list[float] = field(default_factory=list)
    """A value a round; those of a round belong together."""
    interactive_seconds: list[float] = field(default_factory=list)
    padding: float | None = None
    """Computed / real tokens, where it says so."""
    score_difference: float | None = None
    """The largest difference of a probability from this server's, over one request."""
    failed: str | None = None
    """Why it does not take part, or no longer."""
    versions: dict[str, str] = field(default_factory=dict)

    @property
    def speed(self) -> float | None:
        """Median of the rounds."""
        return median(self.documents_per_second) if self.documents_per_second else None

    @property
    def interactive(self) -> float | None:
        """Median seconds of an interactive request."""
        return median(self.interactive_seconds) if self.interactive_seconds else None


class Field:
    """Records and entrants. One that fails is out, with its reason, and the others go on."""

    def __init__(self, options: Options, say: Say) -> None:
        self.options = options
        self.say = say
        self.records: dict[Contestant, Record] = {}
        self._entrants: dict[Contestant, Entrant] = {}

    def enter(self, entrant: Entrant) -> None:
        """Take part from now on."""
        record = self.record(entrant.contestant)
        record.versions = entrant.versions
        self._entrants[entrant.contestant] = entrant

    def record(self, contestant: Contestant) -> Record:
        """The contestant's, made when it is first asked for."""
        return self.records.setdefault(contestant, Record(contestant))

    def leave(self, contestant: Contestant, why: object) -> None:
        """Take part no longer."""
        self.record(contestant).failed = str(why)
        self._entrants.pop(contestant, None)
        self.say(f"{contestant.name} {contestant.precision} is out: {why}")

    def running(self) -> list[Contestant]:
        """Those that take part, in the order in which they entered."""
        return list(self._entrants)

    def entrants(self) -> list[Entrant]:
        """Likewise."""
        return list(self._entrants.values())

    def ask(self, contestant: Contestant, what: Callable[[Entrant], T]) -> T | None:
        """What one gives on its turn; None if it fails, and then it is out."""
        entrant = self._entrants[contestant]
        try:
            with entrant.on_turn():
                return what(entrant)
        except (CannotRun, Died, OSError) as error:
            self.leave(contestant, error)
            return None

    def work(self, contestant: Contestant, requests: Prepared) -> None:
        """A turn of a contestant, noted in its record."""
        record = self.records[contestant]
        repeats, clients = self.options.served_repeats, self.options.clients
        turn = self.ask(
            contestant, lambda one: one.work(requests, repeats=repeats, clients=clients, batch=record.batch)
        )
        if turn is not None:
            record.documents_per_second.append(turn.documents_per_second)
            if turn.summary is not None and turn.summary.padding is not None:
                record.padding = turn.summary.padding

    def only(self, use: Use) -> Record:
        """The record of the first with that use."""
        return next(record for record in self.records.values() if record.contestant.use is use)
