"""OpenAI's list of models, which applications ask for to fill a menu."""

from typing import Literal

from typing_extensions import TypedDict

from rerank_service.api.http.dialects import Answer, LookUp, ServerFacts
from rerank_service.models.served_model import ModelInfo


class Model(TypedDict):
    """A model."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str
    aliases: list[str]
    max_tokens: int
    precision: str
    provider: str
    choice: str
    calibration: str
    verdict: str
    digest: str


class Models(TypedDict):
    """The models served, the default first."""

    object: Literal["list"]
    data: list[Model]


def model(info: ModelInfo) -> Model:
    """What is told of a model."""
    return {
        "id": info.name,
        "object": "model",
        "created": 0,
        "owned_by": info.source,
        "aliases": list(info.aliases),
        "max_tokens": info.max_tokens,
        "precision": info.precision,
        "provider": info.provider,
        "choice": info.choice,
        "calibration": info.calibration,
        "verdict": info.verdict,
        "digest": info.digest,
    }


def _models(server: ServerFacts, _: str) -> Answer:
    answer: Models = {"object": "list", "data": [model(info) for info in server.models]}
    return Answer(answer)


LOOK_UPS = (LookUp("/v1/models", _models, Models, "List the models"),)
