"""The state of admission, queues and lanes, read at the time of a scrape."""

from collections.abc import Sequence
from dataclasses import dataclass

from rerank_service.models.registry import Registry
from rerank_service.models.served_model import ModelInfo, ServedModel
from rerank_service.scheduling.admissions import Admissions
from rerank_service.scheduling.totals import WorkTotals


@dataclass(frozen=True, slots=True)
class ModelState:
    """The state of one served model."""

    info: ModelInfo
    waiting: int
    """Number of accepted requests of which no pair runs."""
    running: int
    """Number of requests of which a pair runs."""
    backlog_seconds: float
    """Time in which all lanes would finish its accepted requests, in seconds."""
    totals: WorkTotals


@dataclass(frozen=True, slots=True)
class CoreState:
    """The state of the server."""

    backlog_seconds: float
    """Time in which all lanes would finish all accepted requests, in seconds."""
    models: Sequence[ModelState]


def core_state(registry: Registry, admissions: Admissions) -> CoreState:
    """Return the current state. Called on the event loop."""
    models = [_model_state(model, admissions) for model in registry.models()]
    return CoreState(admissions.backlog_seconds, models)


def _model_state(model: ServedModel, admissions: Admissions) -> ModelState:
    waiting, running = model.scheduler.live_requests()
    backlog_seconds = admissions.of(model.info.name).backlog_seconds
    return ModelState(model.info, waiting, running, backlog_seconds, model.scheduler.work.totals())
