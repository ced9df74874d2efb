"""JSON report of a load test."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import rerank_service
from rerank_service.tools.loadtest.summary import Summary
from rerank_service.tools.loadtest.target import ServerInfo
from rerank_service.tools.loadtest.workload import Workload


@dataclass(frozen=True, slots=True)
class Level:
    """One load level and its measurements."""

    load: str
    """Description, such as "16 clients" or "20/s"."""
    clients: int | None
    """Number of clients of a closed loop; None for an open loop."""
    rate: float | None
    """Requests per second of an open loop; None for a closed loop."""
    summary: Summary


@dataclass(frozen=True, slots=True)
class LoadReport:
    """All levels of a load test."""

    server: str
    """Address, as given."""
    served: ServerInfo
    workload: Workload
    deadline: float | None
    """Deadline of each call in seconds; None if not set."""
    levels: Sequence[Level]

    def as_json(self) -> dict[str, Any]:
        """Return the report with derived values. All times are in seconds."""
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
