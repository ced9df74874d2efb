"""Unified dialect: bodies with `documents`, for clients of Cohere, Together, Jina, Voyage, vLLM and similar services.

The responses of these services differ in keys, not in meaning. One response has the keys that any of their clients
requires. docs/clients.md lists the rules, each with the clients that need it.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any, Literal, NotRequired

from pydantic import ConfigDict, FiniteFloat
from typing_extensions import TypedDict

from rerank_service.api.field_names import FieldNames
from rerank_service.api.http.aws_errors import aws_error_headers
from rerank_service.api.http.body import documented
from rerank_service.api.http.dialects.contract import Body, DecodedRequest, Exchange, JsonResponse, documents_key
from rerank_service.api.http.dialects.paths import SHARED_PATH, UNIFIED_PATHS
from rerank_service.api.http.documents import JsonReader, as_object, as_text
from rerank_service.api.http.errors import STATUSES, ErrorBody, error_body
from rerank_service.api.http.field_types import (
    EmptyObject,
    Flag,
    Limit,
    OneOrMoreDocuments,
    Size,
    Strings,
    Text,
    only,
    ranked_by_fields,
)
from rerank_service.api.http.highlight_fields import HighlightFields, HighlightSpan, RelevantSpan
from rerank_service.api.http.openapi_tags import RERANK
from rerank_service.api.http.usage import Usage, usage
from rerank_service.api.http.vllm_fields import VllmFields, instruction_name
from rerank_service.errors import RequestError
from rerank_service.ranking.ranking import Ranking
from rerank_service.ranking.request import RerankRequest, TooLong, WindowScore
from rerank_service.ranking.results import RankedDocument
from rerank_service.ranking.scores import ScoreType

_VOYAGE_KEYS = {"model", "query", "documents", "top_k", "return_documents", "truncation"}
"""Keys of a body that may come from Voyage's client."""
_DOCUMENTS_PER_SEARCH_UNIT = 100
"""Number of documents in one of Cohere's search units. Each chunk of a long document counts as a document."""
_EXAMPLE: Body = {
    "query": "capital of France",
    "documents": ["Rome is in Italy.", "Paris is in France."],
    "top_n": 1,
}


class UnifiedBody(VllmFields, HighlightFields):  # type: ignore[no-redef]  # pydantic's plugin reserves the name kwargs
    """A request of the unified dialect."""

    model_config = ConfigDict(json_schema_extra=ranked_by_fields("documents"))

    query: Text
    """The query: a string, `{"text": query}`, or vLLM's text parts. Must not be empty."""
    documents: OneOrMoreDocuments
    """The documents: strings, or objects whose fields are ranked in their order. A single string is the same as a list
    with this string."""
    top_n: Limit | None = None
    """Maximum number of results. Default, and 0: all."""
    top_k: Limit | None = None
    """Voyage's name of `top_n`. A `top_n` above 0 overrides it."""
    return_documents: Flag = None
    """If true, each result contains its document. Default: false."""
    rank_fields: Strings | None = None
    """The fields of objects that are ranked, in this order. Default, and if empty: all fields."""
    max_chunks_per_doc: Limit | None = None
    """Maximum number of windows per document. Default, and 0: no limit."""
    overlap_tokens: Size | None = None
    """Tokens that two neighbouring windows share, at most half of a window. 0: none. Default: an eighth of a window."""
    window_score: Literal["best", "best_two", ""] | None = None
    """Score of a document in windows: "best" takes the best window, "best_two" the mean logit of the best two. Default,
    and "": "best"."""
    truncation: Flag = None
    """Voyage's field. If false, a query or a document that would be cut is an error. Default: true."""
    instruct: str | None = None
    """DashScope's name of `instruction`. `instruction` overrides it."""
    raw_scores: bool | None = None
    """Infinity's field. If true, scores are logits. Default: false."""
    score_type: Literal["probability", "raw", "sigmoid", "calibrated", ""] | None = None
    """Type of `relevance_score`, as in rerank.proto: "raw" is a logit. Overrides `raw_scores`, `use_activation`,
    `activation` and `softmax`. "" does not. Default: "probability"."""
    min_score: FiniteFloat | None = None
    """Minimum `relevance_score` of a result, as in rerank.proto. Default: no minimum."""
    return_len: Flag = None
    """Xinference's field. No effect: a response always contains token counts."""
    return_embeddings: Annotated[
        Literal[False] | None,
        only(False, rule="is not supported: set it to false, or leave it out. A cross-encoder has no embeddings"),
    ] = None
    """Not supported: must be false, null or absent. A cross-encoder has no embeddings."""
    kwargs: Annotated[
        Literal["{}", ""] | EmptyObject | None,
        only("{}", "", {}, rule="must be empty: send its entries as fields of the body"),
    ] = None
    """Xinference's additional arguments, as JSON. Must be "{}", "", {}, null or absent."""


@documented
class Window(TypedDict):
    """A part of the ranked text, in Unicode code points."""

    start: int
    """Position of the first code point, from 0."""
    end: int
    """Position after the last code point."""


@documented
class UnifiedResult(TypedDict):
    """A ranked document."""

    index: int
    """Position in `documents`, from 0."""
    relevance_score: float
    """The score. Higher is more relevant. By default a probability from 0 to 1."""
    document: NotRequired[dict[str, Any]]
    """The document as an object with `text`. Present if `return_documents` is true."""
    windows: NotRequired[int]
    """Number of windows. Present if the document was scored in windows, also if the limits of the request leave one."""
    best_window: NotRequired[Window]
    """The window with the highest logit. Present with `windows`."""
    truncated: NotRequired[bool]
    """True if the document was cut, else absent."""
    highlights: NotRequired[list[HighlightSpan]]
    """The best sentences, best first. Present if the request has `highlights` above 0."""
    relevant_spans: NotRequired[list[RelevantSpan]]
    """The best sentences in the form of Cohere, best first. Present if the request enables `relevant_spans`, and a
    sentence reaches the threshold."""


@documented
class VoyageResult(TypedDict):
    """A ranked document in the form of Voyage."""

    index: int
    """Position in `documents`, from 0."""
    relevance_score: float
    """The score. Higher is more relevant."""
    document: NotRequired[str]
    """The document as a string. Present if `return_documents` is true."""


@documented
class UnifiedResponse(TypedDict):
    """The ranking, with the keys that any client requires."""

    id: str
    """The request id."""
    object: Literal["rerank", "list"]
    """"list", as at Voyage, if the request has `top_k` or `truncation`; else "rerank"."""
    created: int
    """Time of the request, in seconds since 1970."""
    model: str
    """Name of the model that computed the scores."""
    results: list[UnifiedResult]
    """The ranked documents, the most relevant first."""
    data: NotRequired[list[VoyageResult]]
    """The same ranking in the form of Voyage. Present if the request has only fields that Voyage has."""
    query_truncated: NotRequired[Literal[True]]
    """Present if the query was cut."""
    usage: Usage
    meta: dict[str, Any]
    """API version, search units and token counts, in the form of Cohere; and the meaning of the scores in `score_type`:
    "raw", "sigmoid" or "calibrated". With a misspelled field, `warnings` says which one was meant."""


class Unified:
    """The unified dialect."""

    paths: tuple[str, ...] = UNIFIED_PATHS
    documented_paths: tuple[str, ...] = ("/v1/rerank", SHARED_PATH, "/v1/reranking")
    title = "Jina, Together, Voyage, vLLM, …"
    tag = RERANK
    request_type: type[UnifiedBody] = UnifiedBody
    response_type: Any = UnifiedResponse
    error_types: Mapping[int, Any] = dict.fromkeys(STATUSES, ErrorBody)
    example = _EXAMPLE
    returns_documents = False
    """Default of `return_documents`."""
    instruction_fields: tuple[str, ...] = ("instruction", "instruct")
    """Names of the instruction. A text in an earlier one overrides later ones."""

    def matches(self, body: Body) -> bool:
        """Return whether the documents of the body are `documents`."""
        return documents_key(body) == "documents"

    def decode(self, body: Body) -> DecodedRequest:
        """Return the request of a body."""
        parsed = self.request_type.read(body)
        returned = self.returns_documents if parsed.return_documents is None else parsed.return_documents
        request = RerankRequest(
            query=parsed.query,
            model=parsed.model or "",
            top_n=parsed.top_n or parsed.top_k,
            return_documents=returned,
            max_tokens_per_doc=parsed.max_tokens_per_doc,
            max_chunks_per_doc=parsed.max_chunks_per_doc,
            overlap_tokens=parsed.overlap_tokens,
            window_score=WindowScore(parsed.window_score or "best"),
            too_long=TooLong.WHOLE if parsed.truncation is False else parsed.too_long,
            cut_side=parsed.cut_side,
            max_pair_tokens=parsed.max_pair_tokens,
            max_query_tokens=parsed.max_tokens_per_query,
            score_type=_score_type(parsed),
            min_score=parsed.min_score,
            priority=parsed.priority or 0,
            instruction=parsed.applied_instruction(self.instruction_fields),
            highlights=parsed.highlight_count,
        )
        return DecodedRequest(request, parsed.documents, JsonReader(parsed.rank_fields or ()))

    def encode(self, ranking: Ranking, exchange: Exchange) -> JsonResponse:
        """Return the response for a ranking."""
        results = list(ranking)
        highlights = HighlightFields.read(exchange.body)
        tokens = ranking.usage.prompt_tokens
        response: dict[str, Any] = {
            "id": exchange.id,
            "object": "list" if _has_voyages_field(exchange.body) else "rerank",
            "created": exchange.created,
            "model": ranking.model,
            "results": [
                {**_result(result, self.returned_document), **_coverage(result), **highlights.of(result)}
                for result in results
            ],
            "usage": usage(ranking),
            "meta": {
                "api_version": {"version": "2" if "/v2/" in exchange.path else "1"},
                "billed_units": {"search_units": math.ceil(ranking.windows / _DOCUMENTS_PER_SEARCH_UNIT)},
                "tokens": {"input_tokens": tokens, "output_tokens": 0},
                "score_type": ranking.score_type.value,
            },
        }
        if exchange.warnings:
            response["meta"] |= {"warnings": list(exchange.warnings)}
        if ranking.query_truncated:
            response["query_truncated"] = True
        if exchange.body.keys() <= _VOYAGE_KEYS:
            response["data"] = voyage_results(results)
        return JsonResponse(response)

    def encode_error(self, error: RequestError, exchange: Exchange) -> JsonResponse:
        """Return the response for an error."""
        # Bedrock shares this path: a body that could not be read may be its own
        headers = aws_error_headers(error, exchange) if exchange.path == SHARED_PATH and not exchange.body else {}
        return JsonResponse(
            error_body(error, exchange.body, self.field_names(exchange.body)), error.http_status, headers
        )

    def field_names(self, body: Body) -> FieldNames:
        """Return the names that a body has for the fields."""
        return FieldNames(instruction=instruction_name(body, self.instruction_fields))

    def returned_document(self, original: Any) -> Any:
        """Return a sent document as an object: together 1.x and litellm fail on a string."""
        return as_object(original)


def voyage_results(ranking: Iterable[RankedDocument]) -> list[dict[str, Any]]:
    """Return the results in the form of Voyage and Fireworks AI: with documents as strings."""
    return [_result(ranked, as_text) for ranked in ranking]


def _has_voyages_field(body: Body) -> bool:
    """Return whether a body sets a field that Voyage has, and Together and Infinity do not: their clients require
    different values of `object`."""
    return bool(body.get("top_k")) or body.get("truncation") is not None


def _result(ranked: RankedDocument, returned_document: Callable[[Any], Any]) -> dict[str, Any]:
    """Return a result. If the document is not requested, its key is absent: litellm and Dify fail on null."""
    result = {"index": ranked.index, "relevance_score": ranked.relevance_score}
    return result if ranked.document is None else {**result, "document": returned_document(ranked.document)}


def _coverage(ranked: RankedDocument) -> dict[str, Any]:
    """Return the fields of a document that was scored in windows or cut; none for any other document."""
    fields: dict[str, Any] = {}
    if ranked.best_window is not None:
        start, end = ranked.best_window
        fields |= {"windows": ranked.windows, "best_window": {"start": start, "end": end}}
    return {**fields, "truncated": True} if ranked.truncated else fields


def _score_type(body: UnifiedBody) -> ScoreType:
    if body.score_type:
        return ScoreType(body.score_type)
    return ScoreType.RAW if body.raw_scores else body.activation_type


DIALECT = Unified()
