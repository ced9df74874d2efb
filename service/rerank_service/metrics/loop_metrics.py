"""Metric of the event loop, from its state at the time of a scrape. Pure."""

from collections.abc import Iterator

from prometheus_client.core import HistogramMetricFamily, Metric
from prometheus_client.utils import floatToGoString

from rerank_service.observability.event_loop import TurnTotals


def loop_metrics(totals: TurnTotals | None) -> Iterator[Metric]:
    """Yield the metric; nothing if the loop is not observed."""
    if totals is None:
        return
    yield HistogramMetricFamily(
        "rerank_event_loop_blocked_seconds",
        "Time of one turn of the event loop, which serves REST and gRPC. During a turn nothing else is handled: no "
        "connection, no deadline, no health check. The turns of a healthy server take less than 0.02 s.",
        buckets=[(floatToGoString(bound), count) for bound, count in totals.buckets],  # type: ignore[no-untyped-call]
        sum_value=totals.seconds,
    )
