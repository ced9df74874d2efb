"""OpenAI's list of models, with which applications fill a menu."""

from typing import Literal

from typing_extensions import TypedDict

from rerank_service.api.http.body import documented
from rerank_service.api.http.dialects.contract import JsonResponse
from rerank_service.api.http.dialects.look_up import LookUp, ServerFacts
from rerank_service.models.served_model import ModelInfo
from rerank_service.ranking.limits import RequestLimits


@documented
class Model(TypedDict):
    """A model of the server."""

    id: str
    """Name of the model."""
    object: Literal["model"]
    created: int
    """Always 0."""
    owned_by: str
    """Source of the model: the name of a repository of the Hugging Face hub, or of a folder."""
    aliases: list[str]
    """Other names that requests may use."""
    max_tokens: int
    """Token limit of the model, for query and document together."""
    precision: str
    """Number format of the computation, such as "fp32"."""
    provider: str
    """Provider of ONNX Runtime, such as "CPUExecutionProvider"."""
    choice: str
    """Reason for this provider and this precision."""
    calibration: str
    """Method of the calibration, and the meaning of its scores. Empty without a calibration."""
    takes_instruction: bool | None
    """True if a request may have `instruction`. null: the folder of the model cannot be read."""
    verdict: str
    """Outcome of the comparison with the original model at export."""
    digest: str
    """SHA-256 over everything that scores depend on, in hexadecimal. Empty for a folder without a manifest."""
    state: Literal["unloaded", "loading", "ready", "failed", "draining"]
    """State of the model. An unloaded model that is loaded on demand has `ready` true."""
    ready: bool
    """True if the model accepts requests, also if the first one loads it."""
    memory_bytes: int | None
    """Measured memory of the model, in bytes. null: not loaded, or not measured."""
    document_tokens: int
    """Number of tokens that are read of each document, for requests without `max_tokens_per_doc`."""
    window_tokens: int | None
    """Maximum size of a window of a long document, in tokens of the document. null: the default for the model."""
    max_query_chars: int
    """Maximum length of a query, in characters."""
    max_document_chars: int
    """Maximum length of a document, in characters."""


@documented
class Models(TypedDict):
    """The models of the server, loaded or not."""

    object: Literal["list"]
    data: list[Model]
    """The models. The default model is first."""


def model(info: ModelInfo, limits: RequestLimits) -> Model:
    """Return the description of a model, with limits of the server."""
    return {
        "id": info.name,
        "object": "model",
        "created": 0,
        "owned_by": info.source,
        "aliases": list(info.aliases),
        "max_tokens": info.max_tokens,
        "precision": info.precision,
        "provider": info.provider,
        "choice": info.explanation,
        "calibration": info.calibration,
        "takes_instruction": info.takes_instruction,
        "verdict": info.verdict,
        "digest": info.digest,
        "state": info.state.value,
        "ready": info.ready,
        "memory_bytes": info.memory_bytes,
        "document_tokens": limits.document_tokens,
        "window_tokens": limits.window_tokens,
        "max_query_chars": limits.max_query_chars,
        "max_document_chars": limits.max_document_chars,
    }


def _models(server: ServerFacts, _: str) -> JsonResponse:
    models: Models = {"object": "list", "data": [model(info, server.limits) for info in server.models]}
    return JsonResponse(models)


LOOK_UPS = (LookUp(path="/v1/models", respond=_models, response_type=Models, summary="List the models"),)
