"""The state of admission, queues and lanes, read at the time of a scrape."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rerank_service.models.registered_model import RegisteredModel
from rerank_service.models.registry import Registry
from rerank_service.models.served_model import ModelInfo
from rerank_service.scheduling.admissions import Admissions
from rerank_service.scheduling.totals import WorkTotals


@dataclass(frozen=True, slots=True)
class ModelState:
    """The state of one loaded model, with all its versions that have live requests."""

    info: ModelInfo
    waiting: int
    """Number of accepted requests of which no pair runs."""
    running: int
    """Number of requests of which a pair runs."""
    backlog_seconds: float
    """Time in which all lanes would finish its accepted requests, in seconds."""
    memory_bytes: int | None
    """Measured memory of the version that takes new requests. None: not measured, or there is none."""


@dataclass(frozen=True, slots=True)
class CoreState:
    """The state of the server."""

    ready: bool
    """True if the server accepts requests for at least one model."""
    backlog_seconds: float
    """Time in which all lanes would finish all accepted requests, in seconds."""
    models: Sequence[ModelState]
    """The models that are loaded, and those that finish their requests because they are being unloaded."""
    totals: Mapping[str, WorkTotals]
    """Totals of all models of the server, loaded or not, by name. They continue when a model is loaded again."""


def core_state(registry: Registry, admissions: Admissions, *, ready: bool) -> CoreState:
    """Return the current state. `ready` is the readiness of the server. Called on the event loop."""
    models = [_model_state(registered, admissions) for registered in registry.reachable if registered.has_lanes]
    totals = {registered.name: registered.work.totals() for registered in registry.reachable}
    return CoreState(ready, admissions.backlog_seconds, models, totals)


def _model_state(registered: RegisteredModel, admissions: Admissions) -> ModelState:
    waiting, running = registered.scheduled_requests()
    backlog_seconds = admissions.of(registered.name).backlog_seconds
    return ModelState(registered.info, waiting, running, backlog_seconds, registered.memory_bytes)
