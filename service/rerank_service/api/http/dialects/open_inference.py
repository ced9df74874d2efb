"""Health checks of the Open Inference Protocol, which KServe and its monitors ask for.

Source: Open Inference Protocol, specification/protocol/inference_rest.md, "Health". Inference itself is not served: the
protocol has tensors, and a reranker takes texts.
"""

from typing import Literal

from typing_extensions import TypedDict

from rerank_service.api.http.body import documented
from rerank_service.api.http.dialects.contract import JsonResponse
from rerank_service.api.http.dialects.look_up import LookUp, ServerFacts
from rerank_service.api.http.dialects.paths import PATH_MODEL


@documented
class Live(TypedDict):
    """Liveness."""

    live: Literal[True]


@documented
class Ready(TypedDict):
    """Readiness of the server."""

    ready: bool
    """True if the server accepts requests. The status is then 200, else 503."""


@documented
class ModelReady(TypedDict):
    """Readiness of a model."""

    name: str
    """Name of the model, also if the path had one of its aliases."""
    ready: bool
    """True if the model accepts requests, also if the first one loads it. The status is then 200, else 503."""


def _live(_server: ServerFacts, _model: str) -> JsonResponse:
    live: Live = {"live": True}
    return JsonResponse(live)


def _ready(server: ServerFacts, _model: str) -> JsonResponse:
    ready: Ready = {"ready": server.ready}
    return JsonResponse(ready, _status(ready=server.ready))


def _model_ready(server: ServerFacts, model: str) -> JsonResponse:
    info = server.find(model)
    ready: ModelReady = {"name": info.name, "ready": server.ready and info.ready}
    return JsonResponse(ready, _status(ready=ready["ready"]))


def _status(*, ready: bool) -> int:
    return 200 if ready else 503


LOOK_UPS = (
    LookUp(
        path="/v2/health/live",
        respond=_live,
        response_type=Live,
        summary="Report liveness, as the Open Inference Protocol does",
        public=True,
        is_health_check=True,
    ),
    LookUp(
        path="/v2/health/ready",
        respond=_ready,
        response_type=Ready,
        summary="Report readiness, as the Open Inference Protocol does",
        error_types={503: Ready},
        public=True,
        is_health_check=True,
    ),
    LookUp(
        path=f"/v2/models/{PATH_MODEL}/ready",
        respond=_model_ready,
        response_type=ModelReady,
        summary="Report whether a model is ready, as the Open Inference Protocol does",
        error_types={503: ModelReady},
        is_health_check=True,
    ),
)
