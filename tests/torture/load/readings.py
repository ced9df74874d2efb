"""Reports of a server about itself: event loop and forecasts in its metrics, the end of each request in its log."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

MAX_LOOP_SECONDS = 0.05
"""Time for which the event loop may be blocked. It is a bucket of the metric."""
_MS = 1000


@dataclass(frozen=True, slots=True)
class Readings:
    """Counters of a server at one moment."""

    long_turns: float
    """Turns of the event loop of more than MAX_LOOP_SECONDS."""
    long_cpu_turns: float
    """Turns with more CPU time than that."""
    forecast_seconds: float
    """Sum of the forecast errors."""
    forecasts: float

    def since(self, before: "Readings") -> "Readings":
        """Return the difference from an earlier moment."""
        return Readings(
            self.long_turns - before.long_turns,
            self.long_cpu_turns - before.long_cpu_turns,
            self.forecast_seconds - before.forecast_seconds,
            self.forecasts - before.forecasts,
        )

    @property
    def forecast_error(self) -> float:
        """Mean forecast error in seconds; 0 without forecasts."""
        return self.forecast_seconds / self.forecasts if self.forecasts else 0.0


async def readings(url: str) -> Readings:
    """Return the counters of a server."""
    async with httpx.AsyncClient(trust_env=False, timeout=60) as http:
        text = (await http.get(f"{url}/metrics")).raise_for_status().text
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]

    def total(name: str, **labels: str) -> float:
        return sum(each.value for each in samples if each.name == name and labels.items() <= each.labels.items())

    def above_bound(name: str) -> float:
        return total(f"{name}_count") - total(f"{name}_bucket", le=str(MAX_LOOP_SECONDS))

    return Readings(
        long_turns=above_bound("rerank_event_loop_blocked_seconds"),
        long_cpu_turns=above_bound("rerank_event_loop_cpu_seconds"),
        forecast_seconds=total("rerank_forecast_error_seconds_sum"),
        forecasts=total("rerank_forecast_error_seconds_count"),
    )


@dataclass(frozen=True, slots=True)
class Ended:
    """The end of a request, from the access log."""

    status: str
    documents: int
    seconds: float
    inference_seconds: float


class AccessLog:
    """The access log of a server. Each call returns the requests that ended since the last one."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read = path.stat().st_size

    def ended(self) -> list[Ended]:
        """Return the new requests."""
        with self._path.open("rb") as file:
            file.seek(self._read)
            lines = file.read().splitlines(keepends=True)
        complete = [line for line in lines if line.endswith(b"\n")]
        self._read += sum(map(len, complete))
        return [_ended(json.loads(line)) for line in complete if b'"request finished"' in line]


def _ended(line: dict[str, Any]) -> Ended:
    milliseconds = (line.get("total_ms") or 0.0, line.get("inference_ms") or 0.0)
    return Ended(str(line["status"]), line.get("documents") or 0, *(value / _MS for value in milliseconds))
