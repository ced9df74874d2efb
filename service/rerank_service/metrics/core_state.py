"""The state of admission, queues and lanes, read at the time of a scrape."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rerank_service.models.registry import Registry
from rerank_service.models.served_model import ModelInfo, ServedModel
from rerank_service.scheduling.admissions import Admissions
from rerank_service.scheduling.totals import WorkTotals


@dataclass(frozen=True, slots=True)
class ModelState:
    """The state of one loaded model."""

    info: ModelInfo
    waiting: int
    """Number of accepted requests of which no pair runs."""
    running: int
    """Number of requests of which a pair runs."""
    backlog_seconds: float
    """Time in which all lanes would finish its accepted requests, in seconds."""
    memory_bytes: int | None
    """Measured memory of the model. None: not measured."""


@dataclass(frozen=True, slots=True)
class CoreState:
    """The state of the server."""

    ready: bool
    """True if the server accepts requests for at least one model."""
    backlog_seconds: float
    """Time in which all lanes would finish all accepted requests, in seconds."""
    models: Sequence[ModelState]
    """The models that are loaded."""
    totals: Mapping[str, WorkTotals]
    """Totals of all models of the server, loaded or not, by name. They continue when a model is loaded again."""


def core_state(registry: Registry, admissions: Admissions, *, ready: bool) -> CoreState:
    """Return the current state. `ready` is the readiness of the server. Called on the event loop."""
    models = [
        _model_state(registered.model, registered.memory_bytes, admissions)
        for registered in registry.reachable
        if registered.model is not None
    ]
    totals = {registered.name: registered.work.totals() for registered in registry.reachable}
    return CoreState(ready, admissions.backlog_seconds, models, totals)


def _model_state(model: ServedModel, memory_bytes: int | None, admissions: Admissions) -> ModelState:
    waiting, running = model.scheduler.live_requests()
    backlog_seconds = admissions.of(model.info.name).backlog_seconds
    return ModelState(model.info, waiting, running, backlog_seconds, memory_bytes)
