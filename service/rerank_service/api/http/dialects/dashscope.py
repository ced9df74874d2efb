"""DashScope (Alibaba): bodies with `input` and `parameters`, on its own path."""

from collections.abc import Mapping
from typing import Annotated, Any, NotRequired

from pydantic import BaseModel, BeforeValidator, Field
from typing_extensions import TypedDict

from rerank_service.api.field_names import FieldNames, with_field_names
from rerank_service.api.http.body import CONFIG, JsonBody, documented
from rerank_service.api.http.dialects.contract import Body, DecodedRequest, Exchange, JsonResponse
from rerank_service.api.http.documents import JsonReader, as_object
from rerank_service.api.http.errors import STATUSES
from rerank_service.api.http.field_types import Documents, Flag, Limit, Text
from rerank_service.api.http.openapi_tags import HOSTED
from rerank_service.errors import RequestError
from rerank_service.ranking.ranking import Ranking
from rerank_service.ranking.request import RerankRequest

_PATH = "/api/v1/services/rerank/text-rerank/text-rerank"
_CODES = {
    400: "InvalidParameter",
    401: "InvalidApiKey",
    403: "AccessDenied",
    404: "ModelNotFound",
    408: "RequestTimeOut",
    413: "RequestTooLarge",
    415: "UnsupportedMediaType",
    429: "Throttling",
    503: "ServiceUnavailable",
    504: "RequestTimeOut",
}
_NAMES = FieldNames(documents="input.documents", query="input.query", instruction="parameters.instruct")
_EXAMPLE: Body = {
    "model": "default",
    "input": {"query": "capital of France", "documents": ["Rome is in Italy.", "Paris is in France."]},
    "parameters": {"top_n": 1, "return_documents": True},
}


class DashScopeInput(BaseModel):
    """The query and the documents."""

    model_config = CONFIG

    query: Text
    """The query: a string, or `{"text": query}`. Must not be empty."""
    documents: Documents
    """The documents: strings, or objects whose fields are ranked in their order."""


class DashScopeParameters(BaseModel):
    """Options of the ranking."""

    model_config = CONFIG

    top_n: Limit | None = None
    """Maximum number of results. Default, and 0: all."""
    return_documents: Flag = None
    """If true, each result contains its document. Default: false."""
    instruct: str | None = None
    """Replaces the model's own instruction. An error if the model's template has no place for an instruction."""


def _allow_empty_list(schema: dict[str, Any]) -> None:
    schema["anyOf"].append({"type": "array", "maxItems": 0})


class DashScopeBody(JsonBody):
    """A request of DashScope."""

    input: DashScopeInput
    """The query and the documents."""
    parameters: Annotated[
        DashScopeParameters | None,
        BeforeValidator(lambda value: None if value == [] else value),
        Field(json_schema_extra=_allow_empty_list),
    ] = None
    """Options of the ranking. PHP sends an empty list for an empty object."""


@documented
class DashScopeResult(TypedDict):
    """A ranked document."""

    index: int
    """Position in `documents`, from 0."""
    relevance_score: float
    """The score, from 0 to 1. Higher is more relevant."""
    document: NotRequired[dict[str, Any]]
    """The document as an object with `text`. Present if `return_documents` is true."""


@documented
class DashScopeOutput(TypedDict):
    """The ranking."""

    results: list[DashScopeResult]
    """The ranked documents, the most relevant first."""


@documented
class DashScopeUsage(TypedDict):
    """Token usage."""

    total_tokens: int
    """Tokens of all pairs, without padding."""


@documented
class DashScopeResponse(TypedDict):
    """The response: ranking, token usage and request id."""

    output: DashScopeOutput
    usage: DashScopeUsage
    request_id: str
    """The request id."""


@documented
class DashScopeError(TypedDict):
    """An error."""

    code: str
    """Class of the error, such as `InvalidParameter`."""
    message: str
    """The message."""
    request_id: str
    """The request id."""


class DashScope:
    """The DashScope dialect."""

    paths = (_PATH,)
    documented_paths = paths
    title = "DashScope"
    tag = HOSTED
    request_type = DashScopeBody
    response_type: Any = DashScopeResponse
    error_types: Mapping[int, Any] = dict.fromkeys(STATUSES, DashScopeError)
    example = _EXAMPLE

    def matches(self, body: Body) -> bool:  # noqa: ARG002 - no other dialect has this path
        """Return True: no other dialect has this path."""
        return True

    def decode(self, body: Body) -> DecodedRequest:
        """Return the request of a body."""
        parsed = DashScopeBody.read(body)
        parameters = parsed.parameters or DashScopeParameters()
        request = RerankRequest(
            query=parsed.input.query,
            model=parsed.model or "",
            top_n=parameters.top_n,
            return_documents=bool(parameters.return_documents),
            instruction=parameters.instruct or "",
        )
        return DecodedRequest(request, parsed.input.documents, JsonReader())

    def encode(self, ranking: Ranking, exchange: Exchange) -> JsonResponse:
        """Return the response for a ranking."""
        results: list[DashScopeResult] = []
        for ranked in ranking:
            result: DashScopeResult = {"index": ranked.index, "relevance_score": ranked.relevance_score}
            if ranked.document is not None:
                result["document"] = as_object(ranked.document)
            results.append(result)
        response: DashScopeResponse = {
            "output": {"results": results},
            "usage": {"total_tokens": ranking.usage.prompt_tokens},
            "request_id": exchange.id,
        }
        return JsonResponse(response)

    def encode_error(self, error: RequestError, exchange: Exchange) -> JsonResponse:
        """Return the response for an error."""
        status = error.http_status
        message, _ = with_field_names(error, _NAMES)
        body: DashScopeError = {
            "code": _CODES.get(status, "InternalError"),
            "message": message,
            "request_id": exchange.id,
        }
        return JsonResponse(body, status)


DIALECT = DashScope()
