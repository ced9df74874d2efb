"""mixedbread: bodies with `input`, on `/v1/reranking`.

Source: the mixedbread SDK. The clients mixedbread and rerankers use this dialect.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import ConfigDict
from typing_extensions import TypedDict

from rerank_service.api.field_names import FieldNames
from rerank_service.api.http.body import JsonBody, documented
from rerank_service.api.http.dialects.contract import Body, DecodedRequest, Exchange, JsonResponse, documents_key
from rerank_service.api.http.dialects.paths import RERANKING_PATHS
from rerank_service.api.http.documents import JsonReader
from rerank_service.api.http.errors import STATUSES, ErrorBody, error_body
from rerank_service.api.http.field_types import Documents, Flag, Limit, Strings, Text, only, ranked_by_fields
from rerank_service.api.http.openapi_tags import RERANK
from rerank_service.api.http.usage import Usage, usage
from rerank_service.errors import RequestError
from rerank_service.ranking.ranking import Ranking
from rerank_service.ranking.request import RerankRequest

_EXAMPLE: Body = {"query": "capital of France", "input": ["Rome is in Italy.", "Paris is in France."], "top_k": 1}


class MixedbreadBody(JsonBody):
    """A request of mixedbread."""

    model_config = ConfigDict(json_schema_extra=ranked_by_fields("input"))

    query: Text
    """The query: a string, or `{"text": query}`. Must not be empty."""
    input: Documents
    """The documents: strings, or objects whose fields are ranked in their order."""
    top_k: Limit | None = None
    """Maximum number of results. Default, and 0: all."""
    rank_fields: Strings | None = None
    """The fields of objects that are ranked, in this order. Default, and if empty: all fields."""
    return_input: Flag = None
    """If true, each result contains its document. Default: false."""
    instruction: str | None = None
    """Replaces the model's own instruction. An error if the model's template has no place for an instruction."""
    rewrite_query: Annotated[
        Literal[False] | None, only(False, rule="is not supported: set it to false, or leave it out")
    ] = None
    """Not supported: must be false, null or absent."""


@documented
class MixedbreadResult(TypedDict):
    """A ranked document."""

    index: int
    """Position in `input`, from 0."""
    score: float
    """The score, from 0 to 1. Higher is more relevant."""
    input: Any
    """The document in the form of the request. Null unless `return_input` is true."""
    object: Literal["rank_result"]


@documented
class MixedbreadResponse(TypedDict):
    """The ranking."""

    usage: Usage
    model: str
    """Name of the model that computed the scores."""
    data: list[MixedbreadResult]
    """The ranked documents, the most relevant first."""
    object: Literal["list"]
    top_k: int
    """`top_k` of the request, or the number of documents."""
    return_input: bool
    """True if the results contain their documents."""


class Mixedbread:
    """The mixedbread dialect."""

    paths = RERANKING_PATHS
    documented_paths = ("/v1/reranking",)
    title = "mixedbread"
    tag = RERANK
    request_type = MixedbreadBody
    response_type: Any = MixedbreadResponse
    error_types: Mapping[int, Any] = dict.fromkeys(STATUSES, ErrorBody)
    example = _EXAMPLE

    def matches(self, body: Body) -> bool:
        """Return whether the documents of the body are `input`."""
        return documents_key(body) == "input"

    def decode(self, body: Body) -> DecodedRequest:
        """Return the request of a body."""
        parsed = MixedbreadBody.read(body)
        request = RerankRequest(
            query=parsed.query,
            model=parsed.model or "",
            top_n=parsed.top_k,
            return_documents=bool(parsed.return_input),
            instruction=parsed.instruction or "",
        )
        return DecodedRequest(request, parsed.input, JsonReader(parsed.rank_fields or ()))

    def encode(self, ranking: Ranking, exchange: Exchange) -> JsonResponse:
        """Return the response for a ranking."""
        data: list[MixedbreadResult] = [
            {
                "index": ranked.index,
                "score": ranked.relevance_score,
                "input": ranked.document,
                "object": "rank_result",
            }
            for ranked in ranking
        ]
        response: MixedbreadResponse = {
            "usage": usage(ranking),
            "model": ranking.model,
            "data": data,
            "object": "list",
            "top_k": MixedbreadBody.read(exchange.body).top_k or ranking.documents,
            "return_input": bool(data and data[0]["input"] is not None),
        }
        return JsonResponse(response)

    def encode_error(self, error: RequestError, exchange: Exchange) -> JsonResponse:
        """Return the response for an error."""
        return JsonResponse(error_body(error, exchange.body, FieldNames(documents="input")), error.http_status)


DIALECT = Mixedbread()
