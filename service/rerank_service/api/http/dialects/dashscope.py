"""Alibaba's DashScope: a body of `input` and `parameters`, on a path of its own."""

from collections.abc import Mapping
from typing import Any, NotRequired

from pydantic import BaseModel
from typing_extensions import TypedDict

from rerank_service.api.http.body import CONFIG, Count, Documents, Flag, JsonBody, Text
from rerank_service.api.http.dialects import Answer, Body, DecodedRequest, Exchange
from rerank_service.api.http.documents import JsonReader, as_object
from rerank_service.api.http.errors import STATUSES, told
from rerank_service.errors import RequestError
from rerank_service.ranking.ranking import Ranking
from rerank_service.ranking.request import RerankRequest

_PATH = "/api/v1/services/rerank/text-rerank/text-rerank"
_CODES = {
    400: "InvalidParameter",
    401: "InvalidApiKey",
    404: "ModelNotFound",
    413: "RequestTooLarge",
    429: "Throttling",
    503: "ServiceUnavailable",
    504: "RequestTimeOut",
}
_EXAMPLE: Body = {
    "model": "default",
    "input": {"query": "capital of France", "documents": ["Rome is in Italy.", "Paris is in France."]},
    "parameters": {"top_n": 1, "return_documents": True},
}


class DashScopeInput(BaseModel):
    """What is ranked."""

    model_config = CONFIG

    query: Text
    """The query."""
    documents: Documents
    """What is ranked."""


class DashScopeParameters(BaseModel):
    """How."""

    model_config = CONFIG

    top_n: Count | None = None
    """How many results to return; all of them when absent."""
    return_documents: Flag = None
    """Whether each result carries its document."""
    instruct: str | None = None
    """What to look for, in place of the model's own instruction; only for models whose template has a slot for it."""


class DashScopeBody(JsonBody):
    """A query and its documents."""

    input: DashScopeInput
    """What is ranked."""
    parameters: DashScopeParameters | None = None
    """How."""


class DashScopeResult(TypedDict):
    """A ranked document."""

    index: int
    relevance_score: float
    document: NotRequired[dict[str, Any]]


class DashScopeOutput(TypedDict):
    """The results."""

    results: list[DashScopeResult]


class DashScopeUsage(TypedDict):
    """What it cost."""

    total_tokens: int


class DashScopeAnswer(TypedDict):
    """The ranking."""

    output: DashScopeOutput
    usage: DashScopeUsage
    request_id: str


class DashScopeError(TypedDict):
    """An error."""

    code: str
    message: str
    request_id: str


class DashScope:
    """The dialect."""

    paths = (_PATH,)
    shown = paths
    request = DashScopeBody
    response: Any = DashScopeAnswer
    errors: Mapping[int, Any] = dict.fromkeys(STATUSES, DashScopeError)
    example = _EXAMPLE

    def speaks(self, body: Body) -> bool:  # noqa: ARG002 - the path is its own
        """Always."""
        return True

    def decode(self, body: Body) -> DecodedRequest:
        """A body's request and documents."""
        parsed = DashScopeBody.read(body)
        how = parsed.parameters or DashScopeParameters()
        request = RerankRequest(
            query=parsed.input.query,
            model=parsed.model or "",
            top_n=how.top_n,
            return_documents=bool(how.return_documents),
            instruction=how.instruct or "",
        )
        return DecodedRequest(request, parsed.input.documents, JsonReader())

    def encode(self, ranking: Ranking, exchange: Exchange) -> Answer:
        """The ranking."""
        results: list[DashScopeResult] = []
        for one in ranking:
            result: DashScopeResult = {"index": one.index, "relevance_score": one.relevance_score}
            if one.document is not None:
                result["document"] = as_object(one.document)
            results.append(result)
        answer: DashScopeAnswer = {
            "output": {"results": results},
            "usage": {"total_tokens": ranking.usage.prompt_tokens},
            "request_id": exchange.id,
        }
        return Answer(answer)

    def encode_error(self, error: RequestError, exchange: Exchange) -> Answer:
        """The error."""
        status = error.http_status
        body: DashScopeError = {
            "code": _CODES.get(status, "InternalError"),
            "message": told(error, "input.documents")[0],
            "request_id": exchange.id,
        }
        return Answer(body, status)


DIALECT = DashScope()
