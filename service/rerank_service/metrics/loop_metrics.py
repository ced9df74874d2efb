"""Metrics of the event loop, from its state at the time of a scrape. Pure."""

from collections.abc import Iterator

from prometheus_client.core import HistogramMetricFamily, Metric
from prometheus_client.utils import floatToGoString

from rerank_service.observability.loop_turns import Durations, TurnTotals


def loop_metrics(totals: TurnTotals | None) -> Iterator[Metric]:
    """Yield the metrics; nothing if the loop is not observed."""
    if totals is None:
        return
    yield _histogram(
        "rerank_event_loop_blocked_seconds",
        "Time of one turn of the event loop, which serves REST and gRPC. During a turn nothing else is handled: no "
        "connection, no deadline, no health check. The turns of a healthy server take less than 0.02 s.",
        totals.blocked,
    )
    yield _histogram(
        "rerank_event_loop_cpu_seconds",
        "CPU time of one turn of the event loop. Turns that are long, but have little CPU time, wait: for a CPU (a CPU "
        "limit, other processes, a busy host), or for other threads of the server.",
        totals.cpu,
    )


def _histogram(name: str, text: str, durations: Durations) -> Metric:
    return HistogramMetricFamily(
        name,
        text,
        buckets=[(floatToGoString(bound), count) for bound, count in durations.buckets],  # type: ignore[no-untyped-call]
        sum_value=durations.seconds,
    )
