"""The model, the engine and the reading of texts of a running server, on which its scores depend."""

from collections.abc import Mapping

from rerank.v1 import rerank_pb2 as pb

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
    if not model.max_document_chars:
        return identity
    return identity | reading(
        document_tokens=model.document_tokens,
        window_tokens=model.window_tokens,
        max_query_chars=model.max_query_chars,
        max_document_chars=model.max_document_chars,
    )


def scoring_identity(response: pb.RerankResponse) -> dict[str, str] | None:
    """Return model and engine that scored a response. None: an older server does not say that, and no JSON does."""
    return _identity(response.model, response.model_version) if response.HasField("model_version") else None


def scores_by(identity: Mapping[str, str]) -> dict[str, str]:
    """Return the part of an identity that a response can confirm (`scoring_identity`)."""
    return {name: identity[name] for name in (_MODEL, _ENGINE)}


def reading(
    *, document_tokens: int, window_tokens: int | None, max_query_chars: int, max_document_chars: int
) -> dict[str, str]:
    """Return the limits that decide how much of a text is read, and which texts are errors.

    `window_tokens` may be 0 or None, for the default of the model.
    """
    return {
        _TOKENS: str(document_tokens),
        _WINDOW: str(window_tokens or "the default of the model"),
        _QUERY: f"{max_query_chars} characters",
        _DOCUMENT: f"{max_document_chars} characters",
    }


def _identity(name: str, version: pb.Model | pb.ModelVersion) -> dict[str, str]:
    return {_MODEL: f"{name} {version.digest}".strip(), _ENGINE: f"{version.provider} {version.precision}".strip()}
