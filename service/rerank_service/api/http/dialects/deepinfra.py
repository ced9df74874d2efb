"""DeepInfra: `queries` and `documents` on `/v1/inference/{model}`, with the scores in the order of the request.

Source: DeepInfra's OpenAPI document, Qwen3-Reranker; litellm, llms/deepinfra/rerank/transformation.py, which repeats
the query for each document.
"""

from collections.abc import Mapping
from itertools import repeat
from typing import Annotated, Any, Literal

from pydantic import WithJsonSchema
from typing_extensions import TypedDict

from rerank_service.api.field_names import FieldNames
from rerank_service.api.http.body import JsonBody, documented
from rerank_service.api.http.dialects.contract import Body, DecodedRequest, Exchange, JsonResponse
from rerank_service.api.http.dialects.paths import PATH_MODEL
from rerank_service.api.http.errors import STATUSES, ErrorBody, error_body
from rerank_service.api.http.field_types import QUERY_SCHEMA, TEXTS_SCHEMA, Strings, only
from rerank_service.api.http.openapi_tags import HOSTED
from rerank_service.api.http.pairs import PairReader, check_pairs
from rerank_service.errors import RequestError
from rerank_service.ranking.ranking import Ranking
from rerank_service.ranking.request import RerankRequest

_EXAMPLE: Body = {"queries": ["capital of France"], "documents": ["Rome is in Italy.", "Paris is in France."]}


class DeepInfraBody(JsonBody):
    """A request of DeepInfra."""

    queries: Annotated[Strings, WithJsonSchema({"type": "array", "items": QUERY_SCHEMA, "minItems": 1, "maxItems": 1})]
    """The query, or one query per document. A query must not be empty."""
    documents: Annotated[Strings, WithJsonSchema(TEXTS_SCHEMA)]
    """The documents."""
    instruction: str | None = None
    """Replaces the model's own instruction. An error if the model's template has no place for an instruction."""
    webhook: Annotated[Literal[""] | None, only("", rule="is not supported: leave it out, and read the response")] = (
        None
    )
    """Not supported: must be absent, null or ""."""


@documented
class DeepInfraStatus(TypedDict):
    """Status of the inference."""

    status: Literal["succeeded"]
    runtime_ms: int
    """Duration of the inference, in milliseconds."""
    cost: float
    """Always 0."""
    tokens_generated: int
    """Always 0: a reranker generates no tokens."""
    tokens_input: int
    """Tokens of all pairs, without padding."""


@documented
class DeepInfraResponse(TypedDict):
    """The scores."""

    scores: list[float]
    """One score per document, from 0 to 1, in the order of the request. Higher is more relevant."""
    input_tokens: int
    """Tokens of all pairs, without padding."""
    request_id: str
    """The request id."""
    inference_status: DeepInfraStatus


class DeepInfra:
    """The DeepInfra dialect."""

    paths = (f"/v1/inference/{PATH_MODEL}", f"/inference/{PATH_MODEL}")
    documented_paths = paths[:1]
    title = "DeepInfra"
    tag = HOSTED
    request_type = DeepInfraBody
    response_type: Any = DeepInfraResponse
    error_types: Mapping[int, Any] = dict.fromkeys(STATUSES, ErrorBody)
    example = _EXAMPLE

    def matches(self, body: Body) -> bool:  # noqa: ARG002 - no other dialect has these paths
        """Return True: no other dialect has these paths."""
        return True

    def decode(self, body: Body) -> DecodedRequest:
        """Return the request of a body. Its documents are pairs of an optional query and a text."""
        parsed = DeepInfraBody.read(body)
        queries, texts = parsed.queries, parsed.documents
        check_pairs(queries, texts, "queries", "documents")
        request = RerankRequest(
            query=max(queries, key=len),  # the longest: its length is checked
            model=parsed.model or "",
            instruction=parsed.instruction or "",
        )
        own_queries = queries if len(set(queries)) > 1 else repeat(None, len(texts))
        return DecodedRequest(request, list(zip(own_queries, texts, strict=True)), PairReader())

    def encode(self, ranking: Ranking, exchange: Exchange) -> JsonResponse:
        """Return the response for a ranking."""
        tokens = ranking.usage.prompt_tokens
        ranked = sorted(ranking, key=lambda ranked: ranked.index)
        response: DeepInfraResponse = {
            "scores": [each.relevance_score for each in ranked],
            "input_tokens": tokens,
            "request_id": exchange.id,
            "inference_status": {
                "status": "succeeded",
                "runtime_ms": round(ranking.timing.inference * 1000),
                "cost": 0.0,
                "tokens_generated": 0,
                "tokens_input": tokens,
            },
        }
        return JsonResponse(response)

    def encode_error(self, error: RequestError, exchange: Exchange) -> JsonResponse:
        """Return the response for an error."""
        return JsonResponse(error_body(error, exchange.body, FieldNames(query="queries")), error.http_status)


DIALECT = DeepInfra()
