"""What Xinference's client asks before it ranks: whether to send a key, and what kind of model it has."""

from typing import Literal

from typing_extensions import TypedDict

from rerank_service.api.http.dialects import Answer, LookUp, ServerFacts
from rerank_service.api.http.dialects.openai import Model, model


class ClusterAuth(TypedDict):
    """Whether a key is asked for. On a 404 the client would never send one."""

    auth: bool


class ModelDescription(Model):
    """A model. The client makes no handle to rank with unless `model_type` says so."""

    model_type: Literal["rerank"]
    model_name: str
    address: None


def _auth(server: ServerFacts, _: str) -> Answer:
    answer: ClusterAuth = {"auth": server.keys_asked}
    return Answer(answer)


def _model(server: ServerFacts, name: str) -> Answer:
    info = server.find(name)
    answer: ModelDescription = {**model(info), "model_type": "rerank", "model_name": info.name, "address": None}
    return Answer(answer)


LOOK_UPS = (
    LookUp("/v1/cluster/auth", _auth, ClusterAuth, "Whether callers need a key", public=True),
    LookUp("/v1/models/{model:path}", _model, ModelDescription, "Describe a model"),
)
