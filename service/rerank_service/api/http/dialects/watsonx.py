"""IBM watsonx.ai: bodies with `inputs` and `model_id`, on its own path.

A response contains logits, as in IBM's API. `project_id`, `space_id` and the parameter `version` of the URL have no
effect. Source: IBM watsonx.ai API, "Text rerank"; watsonx.ai Java SDK, "Rerank Service", whose example has the scores
2.9258 and -0.9204; litellm, llms/watsonx/rerank/transformation.py.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, NotRequired

from pydantic import BaseModel, Field, WithJsonSchema
from typing_extensions import TypedDict

from rerank_service.api.field_names import FieldNames, with_field_names
from rerank_service.api.http.body import CONFIG, JsonBody, documented
from rerank_service.api.http.dialects.contract import Body, DecodedRequest, Exchange, JsonResponse
from rerank_service.api.http.documents import JsonReader, as_object
from rerank_service.api.http.errors import STATUSES
from rerank_service.api.http.field_types import DOCUMENTS_SCHEMA, Flag, Limit, Text
from rerank_service.api.http.openapi_tags import HOSTED
from rerank_service.errors import RequestError
from rerank_service.ranking.ranking import Ranking
from rerank_service.ranking.request import RerankRequest
from rerank_service.ranking.scores import ScoreType

_CODES = {
    400: "invalid_request_entity",
    401: "authentication_token_not_valid",
    403: "authorization_rejected",
    404: "model_not_supported",
    408: "request_timeout",
    413: "request_entity_too_large",
    415: "unsupported_media_type",
    429: "consumption_limit_reached",
    503: "service_unavailable",
    504: "request_timeout",
}
_EXAMPLE: Body = {
    "model_id": "default",
    "query": "capital of France",
    "inputs": [{"text": "Rome is in Italy."}, {"text": "Paris is in France."}],
    "parameters": {"return_options": {"top_n": 1, "inputs": True}},
    "project_id": "any",
}


class WatsonxReturnOptions(BaseModel):
    """Parts of the response."""

    model_config = CONFIG

    top_n: Limit | None = None
    """Maximum number of results. Default, and 0: all."""
    inputs: Flag = None
    """If true, each result contains its document. Default: false."""
    query: Flag = None
    """If true, the response contains the query. Default: false."""


class WatsonxParameters(BaseModel):
    """Options of the ranking."""

    model_config = CONFIG

    truncate_input_tokens: Limit | None = None
    """Maximum number of tokens per document. A longer document is cut. Default, and 0: the limit of the server,
    normally 8,192. A document that exceeds the model's token limit is scored in windows."""
    return_options: WatsonxReturnOptions | None = None
    """Parts of the response."""


class WatsonxBody(JsonBody):
    """A request of watsonx.ai."""

    model_name: str | None = Field(default=None, alias="model_id")
    """Name or alias of a model. Default: the served model."""
    query: Text
    """The query. Must not be empty."""
    inputs: Annotated[list[Any], WithJsonSchema(DOCUMENTS_SCHEMA)]
    """The documents: `{"text": document}`, or strings."""
    parameters: WatsonxParameters | None = None
    """Options of the ranking."""


@documented
class WatsonxResult(TypedDict):
    """A ranked document."""

    index: int
    """Position in `inputs`, from 0."""
    score: float
    """The raw output of the model, a logit. Higher is more relevant."""
    input: NotRequired[dict[str, Any]]
    """The document as an object with `text`. Present if `return_options.inputs` is true."""


@documented
class WatsonxResponse(TypedDict):
    """The ranking."""

    model_id: str
    """Name of the model that computed the scores."""
    created_at: str
    """Time of the request, as RFC 3339."""
    results: list[WatsonxResult]
    """The ranked documents, the most relevant first."""
    input_token_count: int
    """Tokens of all pairs, without padding."""
    query: NotRequired[str]
    """The query. Present if `return_options.query` is true."""


@documented
class WatsonxFault(TypedDict):
    """The cause of an error."""

    code: str
    """Class of the error, such as `invalid_request_entity`."""
    message: str
    """The message."""


@documented
class WatsonxError(TypedDict):
    """An error."""

    errors: list[WatsonxFault]
    """The causes: one."""
    trace: str
    """The request id."""
    status_code: int
    """The HTTP status."""


class Watsonx:
    """The watsonx.ai dialect."""

    paths = ("/ml/v1/text/rerank",)
    documented_paths = paths
    title = "IBM watsonx.ai"
    tag = HOSTED
    request_type = WatsonxBody
    response_type: Any = WatsonxResponse
    error_types: Mapping[int, Any] = dict.fromkeys(STATUSES, WatsonxError)
    example = _EXAMPLE

    def matches(self, body: Body) -> bool:  # noqa: ARG002 - no other dialect has this path
        """Return True: no other dialect has this path."""
        return True

    def decode(self, body: Body) -> DecodedRequest:
        """Return the request of a body."""
        parsed = WatsonxBody.read(body)
        parameters = parsed.parameters or WatsonxParameters()
        options = parameters.return_options or WatsonxReturnOptions()
        request = RerankRequest(
            query=parsed.query,
            model=parsed.model_name or parsed.model or "",
            top_n=options.top_n,
            return_documents=bool(options.inputs),
            max_tokens_per_doc=parameters.truncate_input_tokens,
            score_type=ScoreType.RAW,
        )
        return DecodedRequest(request, parsed.inputs, JsonReader())

    def encode(self, ranking: Ranking, exchange: Exchange) -> JsonResponse:
        """Return the response for a ranking."""
        results: list[WatsonxResult] = []
        for ranked in ranking:
            result: WatsonxResult = {"index": ranked.index, "score": ranked.logit}
            if ranked.document is not None:
                result["input"] = as_object(ranked.document)
            results.append(result)
        response: WatsonxResponse = {
            "model_id": ranking.model,
            "created_at": datetime.fromtimestamp(exchange.created, UTC).isoformat(),
            "results": results,
            "input_token_count": ranking.usage.prompt_tokens,
        }
        parsed = WatsonxBody.read(exchange.body)
        if parsed.parameters and parsed.parameters.return_options and parsed.parameters.return_options.query:
            response["query"] = parsed.query
        return JsonResponse(response)

    def encode_error(self, error: RequestError, exchange: Exchange) -> JsonResponse:
        """Return the response for an error."""
        status = error.http_status
        message, _ = with_field_names(error, FieldNames(documents="inputs"))
        fault: WatsonxFault = {"code": _CODES.get(status, "internal_error"), "message": message}
        body: WatsonxError = {"errors": [fault], "trace": exchange.id, "status_code": status}
        return JsonResponse(body, status)


DIALECT = Watsonx()
