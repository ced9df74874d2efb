"""Bodies with `documents`: Cohere v1 and v2, Together, Jina, Voyage and those who copied them.

Their answers differ in keys, not in meaning, so one answer holds what each client's parser demands. The rules,
each with the client that breaks without it, are in docs/clients.md.
"""

import math
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, NotRequired

from pydantic import ConfigDict, FiniteFloat
from typing_extensions import TypedDict

from rerank_service.api.http.body import Count, Documents, Flag, Size, Text, only, ranked_by_fields
from rerank_service.api.http.dialects import RERANK_PATHS, RERANKING_PATHS, Answer, Body, DecodedRequest, Exchange
from rerank_service.api.http.documents import JsonReader, as_object, as_text
from rerank_service.api.http.errors import STATUSES, ErrorBody, error_body
from rerank_service.api.http.usage import Usage, usage
from rerank_service.api.http.vllm_fields import VllmFields
from rerank_service.errors import RequestError
from rerank_service.ranking.ranking import Ranking
from rerank_service.ranking.request import RerankRequest, TooLong, WindowScore
from rerank_service.ranking.results import RankedDocument
from rerank_service.ranking.scores import ScoreType

_VOYAGE_KEYS = {"model", "query", "documents", "top_k", "return_documents", "truncation"}
_DOCUMENTS_A_SEARCH_UNIT = 100
"""At Cohere each chunk of a long document counts as a document."""
COHERE_V2_PATHS = ("/v2/rerank", "/v1/v2/rerank")
_EXAMPLE: Body = {
    "query": "capital of France",
    "documents": ["Rome is in Italy.", "Paris is in France."],
    "top_n": 1,
}


class UnifiedBody(VllmFields):  # type: ignore[no-redef]  # pydantic's plugin wants the name kwargs for itself
    """A query and its documents."""

    model_config = ConfigDict(json_schema_extra=ranked_by_fields("documents"))

    query: Text
    """The query, or `{"text": query}`."""
    documents: Documents
    """Strings, or objects whose fields are ranked in their order."""
    top_n: Count | None = None
    """How many results to return; all of them when absent."""
    top_k: Count | None = None
    """Voyage's name for top_n, which wins."""
    return_documents: Flag = None
    """Whether each result carries its document."""
    rank_fields: list[str] | None = None
    """Which fields of object documents are ranked, in this order; all of them when absent or empty."""
    max_tokens_per_doc: Count | None = None
    """Cut each document to this many tokens. Absent: on the paths of Cohere's v2 to 4,096, else to what the server
    reads, normally 8,192. What the model's length does not hold of them is scored in windows."""
    max_chunks_per_doc: Count | None = None
    """Score at most this many windows of a document."""
    overlap_tokens: Size | None = None
    """Tokens that neighbouring windows share, at most: half of a window. Absent: an eighth."""
    window_score: Literal["best", "best_two"] | None = None
    """What makes the score of a document in windows: its best one, or the mean of the logits of its best two."""
    truncation: Flag = None
    """Voyage's switch: false refuses a document of which something would be cut."""
    instruct: str | None = None
    """DashScope's name for instruction, which wins."""
    raw_scores: bool | None = None
    """Give logits instead of probabilities, as Infinity calls it."""
    score_type: Literal["probability", "raw", "sigmoid", "calibrated"] | None = None
    """What relevance_score holds, as in rerank.proto; wins over raw_scores and vLLM's switches."""
    min_score: FiniteFloat | None = None
    """Leave out results whose relevance_score is lower, as in rerank.proto."""
    return_len: Flag = None
    """Xinference's wish for counts of tokens, which are always there."""
    relevant_spans: Annotated[None, only(why="is not supported: leave it out")] = None
    """Refused."""
    return_embeddings: Annotated[
        Literal[False] | None, only(False, why="is not supported: a cross-encoder has no embeddings")
    ] = None
    """Refused unless false."""
    kwargs: Annotated[
        Literal["{}", ""] | None, only("{}", "", why="must be empty: send what you want as fields of the body")
    ] = None
    """Xinference's further arguments, as JSON; refused unless empty."""


class Window(TypedDict):
    """A part of the text that was ranked, in Unicode code points."""

    start: int
    end: int


class UnifiedResult(TypedDict):
    """A ranked document. One that was scored in windows tells how many, and which was the best; one that was cut says
    so."""

    index: int
    relevance_score: float
    document: NotRequired[dict[str, Any]]
    windows: NotRequired[int]
    best_window: NotRequired[Window]
    truncated: NotRequired[bool]


class VoyageResult(TypedDict):
    """A ranked document as Voyage has it."""

    index: int
    relevance_score: float
    document: NotRequired[str]


class UnifiedAnswer(TypedDict):
    """The ranking, with everything that some client's parser demands."""

    id: str
    object: Literal["rerank"]
    created: int
    model: str
    results: list[UnifiedResult]
    data: NotRequired[list[VoyageResult]]
    usage: Usage
    meta: dict[str, Any]


class Unified:
    """The dialect."""

    paths: tuple[str, ...] = (*(path for path in RERANK_PATHS if path not in COHERE_V2_PATHS), *RERANKING_PATHS)
    shown: tuple[str, ...] = ("/v1/rerank", "/rerank", "/v1/reranking")
    request = UnifiedBody
    response: Any = UnifiedAnswer
    errors: Mapping[int, Any] = dict.fromkeys(STATUSES, ErrorBody)
    example = _EXAMPLE

    def speaks(self, body: Body) -> bool:
        """By `documents`."""
        return "documents" in body

    def decode(self, body: Body) -> DecodedRequest:
        """A body's request and documents."""
        parsed = UnifiedBody.read(body)
        request = RerankRequest(
            query=parsed.query,
            model=parsed.model or "",
            top_n=parsed.top_n or parsed.top_k,
            return_documents=bool(parsed.return_documents),
            max_tokens_per_doc=parsed.max_tokens_per_doc,
            max_chunks_per_doc=parsed.max_chunks_per_doc,
            overlap_tokens=parsed.overlap_tokens,
            window_score=WindowScore(parsed.window_score or "best"),
            too_long=TooLong.WHOLE if parsed.truncation is False else parsed.too_long,
            cut_side=parsed.cut_side,
            score_type=_score_type(parsed),
            min_score=parsed.min_score,
            priority=parsed.priority or 0,
            instruction=parsed.instruction or parsed.instruct or "",
        )
        return DecodedRequest(request, parsed.documents, JsonReader(parsed.rank_fields or ()))

    def encode(self, ranking: Ranking, exchange: Exchange) -> Answer:
        """The ranking."""
        ranked = list(ranking)
        tokens = ranking.usage.prompt_tokens
        answer = {
            "id": exchange.id,
            "object": "rerank",
            "created": exchange.created,
            "model": ranking.model,
            "results": [{**_result(one, self.shown_document), **_read(one)} for one in ranked],
            "usage": usage(ranking),
            "meta": {
                "api_version": {"version": "2" if "/v2/" in exchange.path else "1"},
                "billed_units": {"search_units": math.ceil(ranking.windows / _DOCUMENTS_A_SEARCH_UNIT)},
                "tokens": {"input_tokens": tokens, "output_tokens": 0},
            },
        }
        if exchange.body.keys() <= _VOYAGE_KEYS:
            answer["data"] = [_result(one, as_text) for one in ranked]
        return Answer(answer)

    def encode_error(self, error: RequestError, exchange: Exchange) -> Answer:
        """The error."""
        return Answer(error_body(error, exchange.body), error.http_status)

    def shown_document(self, original: Any) -> Any:
        """What goes back of a document: an object, since a string fails in together 1.x and litellm."""
        return as_object(original)


def _result(one: RankedDocument, shown: Callable[[Any], Any]) -> dict[str, Any]:
    """A result; without its document the key is absent, since null fails in litellm and Dify."""
    answer = {"index": one.index, "relevance_score": one.relevance_score}
    return answer if one.document is None else {**answer, "document": shown(one.document)}


def _read(one: RankedDocument) -> dict[str, Any]:
    """How a long document was read; nothing of others."""
    told: dict[str, Any] = {}
    if one.best_window is not None:
        start, end = one.best_window
        told |= {"windows": one.windows, "best_window": {"start": start, "end": end}}
    return {**told, "truncated": True} if one.truncated else told


def _score_type(body: UnifiedBody) -> ScoreType:
    if body.score_type is not None:
        return ScoreType(body.score_type)
    return ScoreType.RAW if body.raw_scores else body.activation_type


DIALECT = Unified()
