"""Metrics of admission, queues and lanes, from their state at the time of a scrape. Pure."""

from collections.abc import Callable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric

import rerank_service
from rerank_service.metrics.core_state import CoreState, ModelState
from rerank_service.models.served_model import ModelInfo
from rerank_service.scheduling.totals import WorkTotals

_COUNTERS: tuple[tuple[str, str, Callable[[WorkTotals], int]], ...] = (
    ("rerank_pairs", "Number of pairs that ran.", lambda totals: totals.pairs),
    ("rerank_batches", "Number of batches that ran.", lambda totals: totals.batches),
    (
        "rerank_cache_hits",
        "Number of pairs that did not run, because the score cache or a run for another request gave their logit.",
        lambda totals: totals.cache_hits,
    ),
)
_GAUGES: tuple[tuple[str, str, Callable[[ModelState], float]], ...] = (
    (
        "rerank_model_backlog_seconds",
        "Time in which all lanes would finish the accepted requests of a model, if no other model used them.",
        lambda model: model.backlog_seconds,
    ),
    (
        "rerank_requests_waiting",
        "Number of accepted requests that wait: no pair of them runs.",
        lambda model: model.waiting,
    ),
    (
        "rerank_requests_running",
        "Number of requests that run: a running batch has a pair of them.",
        lambda model: model.running,
    ),
    (
        "rerank_lanes",
        "Number of batches of a model that run at once while no other model uses the lanes.",
        lambda model: model.info.lanes,
    ),
)


def core_metrics(state: CoreState) -> Iterator[Metric]:
    """Yield the metrics of a state."""
    yield GaugeMetricFamily(
        "rerank_ready",
        "1 if the server accepts requests for at least one model, as `/health/ready` says. 0 while its models load, "
        "while it drains, while no model is loaded, and if an operator has switched readiness off.",
        value=state.ready,
    )
    yield GaugeMetricFamily(
        "rerank_backlog_seconds",
        "Time in which all lanes would finish all accepted requests, by the cost model. The signal for autoscaling.",
        value=state.backlog_seconds,
    )
    for name, documentation, gauge in _GAUGES:
        family = GaugeMetricFamily(name, documentation, labels=["model"])
        for model in state.models:
            family.add_metric([model.info.name], gauge(model))
        yield family
    for name, documentation, count in _COUNTERS:
        counter = CounterMetricFamily(name, documentation, labels=["model"])
        for served, totals in state.totals.items():
            counter.add_metric([served], count(totals))
        yield counter
    yield _memory(state)
    yield _tokens(state)
    yield _lane_busy(state)
    yield _model_info(state)
    yield _build_info()


def _memory(state: CoreState) -> Metric:
    family = GaugeMetricFamily(
        "rerank_model_memory_bytes",
        "Memory that the process took while it loaded and warmed up the model. Not there if it was not measured.",
        labels=["model"],
    )
    for model in state.models:
        if model.memory_bytes is not None:
            family.add_metric([model.info.name], model.memory_bytes)
    return family


def _tokens(state: CoreState) -> Metric:
    family = CounterMetricFamily(
        "rerank_tokens",
        "Number of tokens that ran: `real` ones, and `padded` ones, which are the real ones with the padding.",
        labels=["model", "kind"],
    )
    for model, totals in state.totals.items():
        family.add_metric([model, "real"], totals.real_tokens)
        family.add_metric([model, "padded"], totals.padded_tokens)
    return family


def _lane_busy(state: CoreState) -> Metric:
    family = CounterMetricFamily(
        "rerank_lane_busy_seconds", "Time in which a lane ran batches.", labels=["model", "lane"]
    )
    for model, totals in state.totals.items():
        for lane, seconds in sorted(totals.busy_seconds.items()):
            family.add_metric([model, str(lane)], seconds)
    return family


def _model_info(state: CoreState) -> Metric:
    family = InfoMetricFamily("rerank_model", "The served model and its engine.", labels=["model"])
    for model in state.models:
        family.add_metric([model.info.name], _facts(model.info))
    return family


def _facts(info: ModelInfo) -> dict[str, str]:
    return {
        "source": info.source,
        "revision": info.revision,
        "digest": info.digest,
        "precision": info.precision,
        "provider": info.provider,
    }


def _build_info() -> Metric:
    family = InfoMetricFamily("rerank_build", "The version of the server.")
    family.add_metric([], {"version": rerank_service.__version__})
    return family
