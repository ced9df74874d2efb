"""The state of admission, queues and lanes, read at the time of a scrape."""

from collections.abc import Sequence
from dataclasses import dataclass

from rerank_service.models.registry import Registry
from rerank_service.models.served_model import ModelInfo, ServedModel
from rerank_service.scheduling.admission import Admission
from rerank_service.scheduling.totals import WorkTotals


@dataclass(frozen=True, slots=True)
class ModelState:
    """The state of one served model."""

    info: ModelInfo
    waiting: int
    """Number of accepted requests of which no pair runs."""
    running: int
    """Number of requests of which a pair runs."""
    totals: WorkTotals


@dataclass(frozen=True, slots=True)
class CoreState:
    """The state of the server."""

    backlog_seconds: float
    models: Sequence[ModelState]


def core_state(registry: Registry, admission: Admission) -> CoreState:
    """Return the current state. Called on the event loop."""
    return CoreState(admission.backlog_seconds, [_model_state(model) for model in registry.models()])


def _model_state(model: ServedModel) -> ModelState:
    waiting, running = model.scheduler.live_requests()
    return ModelState(model.info, waiting, running, model.scheduler.work.totals())
