"""The outcome of a run of `rerank bench`, to keep."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import rerank_service
from rerank_service.tools.loadtest.summary import Summary
from rerank_service.tools.loadtest.target import Served
from rerank_service.tools.loadtest.workload import Workload


@dataclass(frozen=True, slots=True)
class Level:
    """One load level."""

    load: str
    """What it was, for people: "16 clients", or "20/s"."""
    clients: int | None
    rate: float | None
    summary: Summary


@dataclass(frozen=True, slots=True)
class Report:
    """All of a run."""

    server: str
    served: Served
    workload: Workload
    deadline: float | None
    levels: Sequence[Level]

    def as_json(self) -> dict[str, Any]:
        """With the figures that are derived; seconds everywhere."""
        return {
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "rerank_bench": rerank_service.__version__,
            "server": self.server,
            "served": asdict(self.served),
            "workload": asdict(self.workload),
            "deadline": self.deadline,
            "levels": [_level(level) for level in self.levels],
        }


def _level(level: Level) -> dict[str, Any]:
    summary = level.summary
    return {
        "clients": level.clients,
        "rate": level.rate,
        **asdict(summary),
        "documents_per_second": summary.documents_per_second,
        "requests_per_second": summary.requests_per_second,
        "tokens_per_second": summary.tokens_per_second,
        "padding": summary.padding,
    }
