"""All metrics of a server with their labels: from a server that has counted each kind of request once."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache

from prometheus_client.core import Metric

from rerank_service.errors import DeadlinePassed, Overloaded
from rerank_service.metrics.config_state import ConfigState
from rerank_service.metrics.core_state import CoreState, ModelState
from rerank_service.metrics.exposition import Metrics
from rerank_service.models.served_model import ModelInfo
from rerank_service.observability.loop_turns import LoopTurns
from rerank_service.observability.request_record import failure_of
from rerank_service.scheduling.totals import WorkTotals
from support.request_records import RECORD

_INFO = ModelInfo(name="small", precision="fp32", provider="CPUExecutionProvider", max_tokens=512, lanes=1)
_TOTALS = WorkTotals(batches=1, pairs=1, real_tokens=1, padded_tokens=1, cache_hits=1, busy_seconds={0: 1.0})
_REST = replace(RECORD, forecast_error=1.0)


@dataclass(frozen=True, slots=True)
class Series:
    """A metric."""

    name: str
    """The name in queries; that of a histogram has no `_bucket`, `_count` or `_sum`."""
    kind: str
    """counter, gauge, histogram or info."""
    labels: tuple[str, ...]
    """Without `le`, the label of the buckets of a histogram."""
    documentation: str

    @property
    def queried(self) -> Mapping[str, frozenset[str]]:
        """Names in queries with their labels."""
        labels = frozenset(self.labels)
        if self.kind != "histogram":
            return {self.name: labels}
        return {f"{self.name}_{part}": labels for part in ("count", "sum")} | {f"{self.name}_bucket": labels | {"le"}}


@cache
def catalog() -> list[Series]:
    """Return all metrics, sorted by name."""
    metrics = Metrics(
        lambda: CoreState(True, 1.0, [ModelState(_INFO, 1, 1, 1.0, 1)], {"small": _TOTALS}),
        lambda: ConfigState({"models": True, "keys": True, "tls": True}, certificate_expires=1.0),
        LoopTurns(),
        max_connections=1,
    )
    for failure in (None, failure_of(DeadlinePassed("late")), failure_of(Overloaded("full", retry_after=1.0))):
        rest = replace(_REST, failure=failure)
        for record in (rest, replace(rest, protocol="grpc", route="rerank.v1.Rerank/Rerank", status="OK")):
            metrics.requests.call_started(record.route)
            metrics.requests.request_finished(record)
    return sorted((_series(family) for family in metrics.snapshot().collect()), key=lambda series: series.name)


def _series(family: Metric) -> Series:
    assert family.samples, f"the catalog has no sample of {family.name}"
    sample = family.samples[0]
    name = family.name if family.type == "histogram" else sample.name
    return Series(name, family.type, tuple(label for label in sample.labels if label != "le"), family.documentation)
