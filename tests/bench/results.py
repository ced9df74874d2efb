"""Results of a benchmark and their JSON form."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from bench.figures.beside_bulk import BesideBulk
from bench.figures.levels import LoadLevel
from bench.figures.memory import Memory
from bench.figures.overload import Overload
from bench.host import Host
from bench.options import Options
from bench.pool import Record
from bench.systems import System
from rerank_service.tools.loadtest.target import ServerInfo


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """Results of one benchmark."""

    date: str
    host: Host
    options: Options
    served: ServerInfo
    """Model, precision and provider that our server reported."""
    settings: Mapping[str, str]
    """Environment variables RERANK_… of our server."""
    work: int
    """Number of documents of a turn."""
    records: Sequence[Record]
    levels: Sequence[LoadLevel]
    beside_bulk: BesideBulk | None
    overload: Overload | None
    memory: Memory | None
    cold_start: float | None
    failed: Mapping[str, str]
    """Reason for each of the four that is None, by field name."""

    def as_json(self) -> dict[str, Any]:
        """Return the results with derived values."""
        derived = {
            "beside_bulk_ratio": self.beside_bulk and self.beside_bulk.ratio,
            "overload_ratio": self.overload and self.overload.ratio,
            "memory_added": self.memory and self.memory.added,
        }
        return asdict(self) | {"records": [_record(record) for record in self.records]} | derived


def _record(record: Record) -> dict[str, Any]:
    return _system(record.system) | {
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


def _system(system: System) -> dict[str, Any]:
    return {
        "name": system.name,
        "peer": system.peer,
        "use": system.use.value,
        "precision": system.precision,
    }
