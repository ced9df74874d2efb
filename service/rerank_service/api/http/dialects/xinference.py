"""GET requests of Xinference's client: it asks whether to send an API key, and for the type of a model."""

from typing import Literal

from typing_extensions import TypedDict

from rerank_service.api.http.body import documented
from rerank_service.api.http.dialects.contract import JsonResponse
from rerank_service.api.http.dialects.look_up import LookUp, ServerFacts
from rerank_service.api.http.dialects.openai import Model, model
from rerank_service.api.http.dialects.paths import PATH_MODEL


@documented
class ClusterAuth(TypedDict):
    """Authentication of the server. After a 404, the client would never send its key."""

    auth: bool
    """True if requests must have an API key."""


@documented
class ModelDescription(Model):
    """A served model. The client can rank with it only if `model_type` is "rerank"."""

    model_type: Literal["rerank"]
    model_name: str
    """Name of the model."""
    address: None
    """Always null."""


def _auth(server: ServerFacts, _: str) -> JsonResponse:
    auth: ClusterAuth = {"auth": server.key_required}
    return JsonResponse(auth)


def _model(server: ServerFacts, name: str) -> JsonResponse:
    info = server.find(name)
    description: ModelDescription = {
        **model(info, server.limits),
        "model_type": "rerank",
        "model_name": info.name,
        "address": None,
    }
    return JsonResponse(description)


LOOK_UPS = (
    LookUp(
        path="/v1/cluster/auth",
        respond=_auth,
        response_type=ClusterAuth,
        summary="Report whether requests must have an API key",
        public=True,
    ),
    LookUp(
        path=f"/v1/models/{PATH_MODEL}",
        respond=_model,
        response_type=ModelDescription,
        summary="Describe a model",
    ),
)
