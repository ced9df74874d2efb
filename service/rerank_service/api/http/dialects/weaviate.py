"""Weaviate's module reranker-transformers: bodies with `property` beside `documents`, on `/rerank`.

Source: Weaviate, modules/reranker-transformers/clients/ranker.go and startup.go; its inference container,
weaviate/reranker-transformers, app.py and crossencoder.py. Weaviate assigns scores by position, so they have the
order of the request.
"""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import WithJsonSchema
from typing_extensions import TypedDict

from rerank_service.api.http.body import JsonBody, documented
from rerank_service.api.http.dialects.contract import Body, DecodedRequest, Exchange, JsonResponse, documents_key
from rerank_service.api.http.dialects.look_up import LookUp, ServerFacts
from rerank_service.api.http.dialects.openai import Model, model
from rerank_service.api.http.dialects.paths import SHARED_PATH
from rerank_service.api.http.errors import STATUSES, ErrorBody
from rerank_service.api.http.field_types import QUERY_SCHEMA, TEXTS_SCHEMA
from rerank_service.api.http.openapi_tags import RERANK
from rerank_service.api.text_reader import TextReader
from rerank_service.errors import NotReady, RequestError
from rerank_service.ranking.ranking import Ranking
from rerank_service.ranking.request import RerankRequest

_EXAMPLE: Body = {
    "query": "capital of France",
    "documents": ["Rome is in Italy.", "Paris is in France."],
    "property": "",
}


class WeaviateBody(JsonBody):
    """A request of Weaviate."""

    query: Annotated[str, WithJsonSchema(QUERY_SCHEMA)]
    """The query. Must not be empty."""
    documents: Annotated[list[Any], WithJsonSchema(TEXTS_SCHEMA)]
    """The documents."""
    property: str | None
    """Marks the dialect. Weaviate sends an empty text. No effect."""


@documented
class WeaviateScore(TypedDict):
    """The score of a document."""

    document: str
    """The document."""
    score: float
    """The score, from 0 to 1. Higher is more relevant."""


@documented
class WeaviateResponse(TypedDict):
    """The scores."""

    query: str
    """The query."""
    scores: list[WeaviateScore]
    """One score per document, in the order of the request."""


@documented
class WeaviateError(TypedDict):
    """An error."""

    error: str
    """The message."""


class Weaviate:
    """The Weaviate dialect."""

    paths = (SHARED_PATH,)
    documented_paths = paths
    title = "Weaviate"
    tag = RERANK
    request_type = WeaviateBody
    response_type: Any = WeaviateResponse
    error_types: Mapping[int, Any] = dict.fromkeys(STATUSES, WeaviateError)
    example = _EXAMPLE

    def matches(self, body: Body) -> bool:
        """Return whether the body has `property`, and its documents are `documents`."""
        return "property" in body and documents_key(body) == "documents"

    def decode(self, body: Body) -> DecodedRequest:
        """Return the request of a body."""
        parsed = WeaviateBody.read(body)
        request = RerankRequest(query=parsed.query, model=parsed.model or "")
        return DecodedRequest(request, parsed.documents, TextReader())

    def encode(self, ranking: Ranking, exchange: Exchange) -> JsonResponse:
        """Return the response for a ranking."""
        documents = exchange.body["documents"]
        scores: list[WeaviateScore] = [
            {"document": documents[ranked.index], "score": ranked.relevance_score}
            for ranked in sorted(ranking, key=lambda ranked: ranked.index)
        ]
        response: WeaviateResponse = {"query": exchange.body["query"], "scores": scores}
        return JsonResponse(response)

    def encode_error(self, error: RequestError, exchange: Exchange) -> JsonResponse:  # noqa: ARG002 - only the error matters
        """Return the response for an error."""
        body: WeaviateError = {"error": str(error)}
        return JsonResponse(body, error.http_status)


def _ready(server: ServerFacts, _: str) -> JsonResponse:
    if not server.ready:
        raise NotReady("the server is not ready")
    return JsonResponse(None, 204)


def _live(_server: ServerFacts, _model: str) -> JsonResponse:
    return JsonResponse(None, 204)


def _meta(server: ServerFacts, _: str) -> JsonResponse:
    return JsonResponse(model(server.find(""), server.limits))


DIALECT = Weaviate()
LOOK_UPS = (
    LookUp(
        path="/.well-known/ready",
        respond=_ready,
        response_type=None,
        summary="Report readiness, as Weaviate's modules do: 204",
        error_types={503: ErrorBody},
        public=True,
        is_health_check=True,
    ),
    LookUp(
        path="/.well-known/live",
        respond=_live,
        response_type=None,
        summary="Report liveness, as Weaviate's modules do: 204",
        public=True,
        is_health_check=True,
    ),
    LookUp(path="/meta", respond=_meta, response_type=Model, summary="Describe the model, for Weaviate"),
)
