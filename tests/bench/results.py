"""All that a run found, and its form as JSON."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from bench.contestants import Contestant
from bench.field import Record
from bench.figures.beside_bulk import BesideBulk
from bench.figures.levels import LoadLevel
from bench.figures.memory import Memory
from bench.figures.overload import Overload
from bench.host import Host
from bench.options import Options
from rerank_service.load.target import Served


@dataclass(frozen=True, slots=True)
class Results:
    """One run."""

    date: str
    host: Host
    options: Options
    served: Served
    """What our server said of itself: precision and provider are the variant that ran."""
    settings: Mapping[str, str]
    """The RERANK_… variables it had."""
    work: int
    """Documents of a turn."""
    records: Sequence[Record]
    levels: Sequence[LoadLevel]
    beside_bulk: BesideBulk
    overload: Overload
    memory: Memory
    cold_start: float

    def as_json(self) -> dict[str, Any]:
        """Everything, with what is derived of the contestants."""
        plain = asdict(self) | {"records": [_record(record) for record in self.records]}
        plain["beside_bulk"]["ratio"] = self.beside_bulk.ratio
        plain["overload"]["ratio"] = self.overload.ratio
        plain["memory"]["added"] = self.memory.added
        return plain


def _record(record: Record) -> dict[str, Any]:
    return _contestant(record.contestant) | {
        "batch": record.batch,
        "documents_per_second": record.documents_per_second,
        "median_documents_per_second": record.speed,
        "interactive_seconds": record.interactive_seconds,
        "median_interactive_seconds": record.interactive,
        "padding": record.padding,
        "score_difference": record.score_difference,
        "failed": record.failed,
        "versions": record.versions,
    }


def _contestant(contestant: Contestant) -> dict[str, Any]:
    return {
        "name": contestant.name,
        "peer": contestant.peer,
        "use": contestant.use.value,
        "precision": contestant.precision,
    }
