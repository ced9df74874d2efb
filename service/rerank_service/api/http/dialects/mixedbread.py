"""Bodies with `input` on `/v1/reranking`: mixedbread.

Source: its SDK, and CONTRACTS of the clients that speak it (mixedbread, rerankers).
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import ConfigDict
from typing_extensions import TypedDict

from rerank_service.api.http.body import Count, Documents, Flag, JsonBody, Text, only, ranked_by_fields
from rerank_service.api.http.dialects import RERANKING_PATHS, Answer, Body, DecodedRequest, Exchange
from rerank_service.api.http.documents import JsonReader
from rerank_service.api.http.errors import STATUSES, ErrorBody, error_body
from rerank_service.api.http.usage import Usage, usage
from rerank_service.errors import RequestError
from rerank_service.ranking.ranking import Ranking
from rerank_service.ranking.request import RerankRequest

_EXAMPLE: Body = {"query": "capital of France", "input": ["Rome is in Italy.", "Paris is in France."], "top_k": 1}


class MixedbreadBody(JsonBody):
    """A query and what is ranked for it."""

    model_config = ConfigDict(json_schema_extra=ranked_by_fields("input"))

    query: Text
    """The query."""
    input: Documents
    """Strings, or objects whose fields are ranked in their order."""
    top_k: Count | None = None
    """How many results to return; all of them when absent."""
    rank_fields: list[str] | None = None
    """Which fields of objects are ranked, in this order; all of them when absent or empty."""
    return_input: Flag = None
    """Whether each result carries what was sent."""
    instruction: str | None = None
    """What to look for, in place of the model's own instruction; only for models whose template has a slot for it."""
    rewrite_query: Annotated[
        Literal[False] | None, only(False, why="is not supported: the query is ranked as it is sent")
    ] = None
    """Refused unless false."""


class MixedbreadResult(TypedDict):
    """A ranked input."""

    index: int
    score: float
    input: Any
    object: Literal["rank_result"]


class MixedbreadAnswer(TypedDict):
    """The ranking."""

    usage: Usage
    model: str
    data: list[MixedbreadResult]
    object: Literal["list"]
    top_k: int
    return_input: bool


class Mixedbread:
    """The dialect."""

    paths = RERANKING_PATHS
    shown = ("/v1/reranking",)
    request = MixedbreadBody
    response: Any = MixedbreadAnswer
    errors: Mapping[int, Any] = dict.fromkeys(STATUSES, ErrorBody)
    example = _EXAMPLE

    def speaks(self, body: Body) -> bool:
        """By `input`, where there are no `documents`."""
        return "input" in body and "documents" not in body

    def decode(self, body: Body) -> DecodedRequest:
        """A body's request and inputs."""
        parsed = MixedbreadBody.read(body)
        request = RerankRequest(
            query=parsed.query,
            model=parsed.model or "",
            top_n=parsed.top_k,
            return_documents=bool(parsed.return_input),
            instruction=parsed.instruction or "",
        )
        return DecodedRequest(request, parsed.input, JsonReader(parsed.rank_fields or ()))

    def encode(self, ranking: Ranking, exchange: Exchange) -> Answer:
        """The ranking; an input that was not asked for is null."""
        data: list[MixedbreadResult] = [
            {"index": one.index, "score": one.relevance_score, "input": one.document, "object": "rank_result"}
            for one in ranking
        ]
        answer: MixedbreadAnswer = {
            "usage": usage(ranking),
            "model": ranking.model,
            "data": data,
            "object": "list",
            "top_k": exchange.body.get("top_k") or ranking.documents,
            "return_input": bool(data and data[0]["input"] is not None),
        }
        return Answer(answer)

    def encode_error(self, error: RequestError, exchange: Exchange) -> Answer:
        """The error."""
        return Answer(error_body(error, exchange.body, documents="input"), error.http_status)


DIALECT = Mixedbread()
