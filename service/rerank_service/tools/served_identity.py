"""The model, the engine and the reading of texts of a running server, on which its scores depend."""

from collections.abc import Mapping

from rerank.v1 import rerank_pb2 as pb
from rerank_service.ranking.limits import RequestLimits

_MODEL, _ENGINE = "model", "engine"
_TOKENS, _WINDOW, _QUERY, _DOCUMENT = (
    "tokens read of a document",
    "tokens of a window",
    "longest query",
    "longest document",
)
READING = (_TOKENS, _WINDOW, _QUERY, _DOCUMENT)
"""Names of the entries of `reading`. Identities of older servers do not have them."""


def listed_identity(model: pb.Model) -> dict[str, str]:
    """Return model, engine and reading of a model that a server lists. Older and other servers do not say how they
    read texts."""
    identity = _identity(model.name, model)
    return identity | reading(model) if model.max_document_chars else identity


def scoring_identity(response: pb.RerankResponse) -> dict[str, str] | None:
    """Return model and engine that scored a response. None: an older server does not say that, and no JSON does."""
    return _identity(response.model, response.model_version) if response.HasField("model_version") else None


def scores_by(identity: Mapping[str, str]) -> dict[str, str]:
    """Return the part of an identity that a response can confirm (`scoring_identity`)."""
    return {name: identity[name] for name in (_MODEL, _ENGINE)}


def reading(limits: RequestLimits | pb.Model) -> dict[str, str]:
    """Return the limits that decide how much of a text is read, and which texts are errors.

    A listed model has the same fields as `RequestLimits`; its `window_tokens` is 0 for the default of the model.
    """
    return {
        _TOKENS: str(limits.document_tokens),
        _WINDOW: str(limits.window_tokens or "the default of the model"),
        _QUERY: f"{limits.max_query_chars} characters",
        _DOCUMENT: f"{limits.max_document_chars} characters",
    }


def _identity(name: str, version: pb.Model | pb.ModelVersion) -> dict[str, str]:
    return {_MODEL: f"{name} {version.digest}".strip(), _ENGINE: f"{version.provider} {version.precision}".strip()}
