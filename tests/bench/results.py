"""Results of a benchmark, put together from its parts, and their JSON form."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from bench.figures.levels import LoadLevel
from bench.host import Host
from bench.options import Options
from bench.parts import RANDOM, SERVER, Alone, PartResults
from bench.pool import Record
from bench.systems import OURS, System
from rerank_service.tools.loadtest.target import ServerInfo


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """Results of the measured parts of one benchmark, at least one."""

    host: Host
    options: Options
    parts: Sequence[PartResults]

    @property
    def main(self) -> PartResults:
        """The part that describes this server: the one without peers, or the first if that was not measured."""
        return next((part for part in self.parts if part.part.name == SERVER), self.parts[0])

    @property
    def date(self) -> str:
        """Date of the newest part."""
        return max(part.date for part in self.parts)

    @property
    def served(self) -> ServerInfo:
        """Model, precision and provider that this server reported."""
        return self.main.served

    @property
    def settings(self) -> Mapping[str, str]:
        """Environment variables RERANK_… of this server."""
        return self.main.settings

    @property
    def alone(self) -> Alone | None:
        """Figures of this server without a peer; None if they were not measured."""
        return self.main.alone

    @property
    def levels(self) -> list[LoadLevel]:
        """Load levels of all parts, by number of clients."""
        return sorted((level for part in self.parts for level in part.levels), key=lambda level: level.clients)

    def records(self, model: str = RANDOM) -> list[Record]:
        """Return the systems that ran a model: this server from one part, the peers from all."""
        parts = [part for part in self.parts if part.part.model == model]
        if not parts:
            return []
        ours = self.main if self.main in parts else parts[0]
        return [record for part in parts for record in part.records if part is ours or record.system.peer != OURS]

    def as_json(self) -> dict[str, Any]:
        """Return the results with derived values. `records` are those of the model with random weights."""
        alone = self.alone
        return {
            "date": self.date,
            "kind": self.host.kind.value,
            "host": asdict(self.host),
            "options": asdict(self.options),
            "served": asdict(self.served),
            "settings": dict(self.settings),
            "parts": {part.part.name: {"date": part.date, "documents": part.work} for part in self.parts},
            "records": [_record(record) for record in self.records()],
            "bundled": [_record(record) for record in self.records("bundled")],
            "levels": [asdict(level) for level in self.levels],
            "alone": alone and asdict(alone),
            "beside_bulk_ratio": alone and alone.beside_bulk and alone.beside_bulk.ratio,
            "overload_ratio": alone and alone.overload and alone.overload.ratio,
            "memory_added": alone and alone.memory and alone.memory.added,
        }


def _record(record: Record) -> dict[str, Any]:
    return _system(record.system) | {
        "batch": record.batch,
        "documents_per_second": record.documents_per_second,
        "ours_documents_per_second": record.ours,
        "ratio": record.ratio,
        "median_documents_per_second": record.speed,
        "interactive_seconds": record.interactive_seconds,
        "median_interactive_seconds": record.interactive,
        "padding": record.padding,
        "relevance_loss": record.loss and asdict(record.loss),
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
