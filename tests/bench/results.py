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
from rerank_service.tools.loadtest.target import Served


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
    beside_bulk: BesideBulk | None
    overload: Overload | None
    memory: Memory | None
    cold_start: float | None
    failed: Mapping[str, str]
    """Why one of these four is missing."""

    def as_json(self) -> dict[str, Any]:
        """Everything, with what is derived of the contestants."""
        derived = {
            "beside_bulk_ratio": self.beside_bulk and self.beside_bulk.ratio,
            "overload_ratio": self.overload and self.overload.ratio,
            "memory_added": self.memory and self.memory.added,
        }
        return asdict(self) | {"records": [_record(record) for record in self.records]} | derived


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
