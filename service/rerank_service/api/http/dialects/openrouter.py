"""OpenRouter: the unified dialect on `/api/v1/rerank`. Results contain their documents unless the request declines.

The code of an error is its HTTP status: OpenRouter's SDKs parse no error with another code.

Source: OpenRouter API reference, "Submit a rerank request"; @openrouter/sdk for JavaScript, operations/creatererank.js,
which has no `return_documents` and requires the `document` of each result, and funcs/rerankRerank.js, which repeats
each 5xx for an hour.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NotRequired

from typing_extensions import TypedDict

from rerank_service.api.http.body import documented
from rerank_service.api.http.dialects.contract import Exchange, JsonResponse
from rerank_service.api.http.dialects.unified import Unified, UnifiedBody, UnifiedResponse
from rerank_service.api.http.errors import UNREPEATED_STATUSES, ErrorBody, ErrorObject, unrepeated_status
from rerank_service.api.http.field_types import Flag
from rerank_service.api.http.openapi_tags import HOSTED
from rerank_service.api.http.usage import Usage
from rerank_service.errors import RequestError
from rerank_service.ranking.ranking import Ranking


class OpenRouterBody(UnifiedBody):  # type: ignore[no-redef]  # pydantic's plugin reserves the name kwargs
    """A request of OpenRouter."""

    return_documents: Flag = None
    """If false, the results do not contain their documents. Default: true."""


@documented
class OpenRouterUsage(Usage):
    """Token usage, with Cohere's unit of prices."""

    search_units: int
    """Number of documents / 100, rounded up. A long document counts as its windows."""


@documented
class OpenRouterResponse(UnifiedResponse):
    """The ranking."""

    usage: OpenRouterUsage  # type: ignore[misc]  # with one more field


@documented
class OpenRouterErrorMetadata(TypedDict):
    """More about an error."""

    reason: str
    """Stable identifier of the error, such as `empty_query`."""


@documented
class OpenRouterErrorObject(ErrorObject):
    """The error in the form of OpenRouter."""

    code: int  # type: ignore[misc]  # no client of another service has this path
    """The HTTP status."""
    metadata: OpenRouterErrorMetadata


@documented
class OpenRouterErrorBody(ErrorBody):
    """An error. The same message is in all three fields."""

    error: NotRequired[OpenRouterErrorObject]  # type: ignore[misc]  # with another code
    """The error in the form of OpenRouter. Absent if the request has `top_k` or `truncation`."""


class OpenRouter(Unified):
    """The OpenRouter dialect."""

    paths = ("/api/v1/rerank",)
    documented_paths = paths
    title = "OpenRouter"
    tag = HOSTED
    request_type = OpenRouterBody
    response_type: Any = OpenRouterResponse
    error_types: Mapping[int, Any] = dict.fromkeys(UNREPEATED_STATUSES, OpenRouterErrorBody)
    returns_documents = True

    def encode(self, ranking: Ranking, exchange: Exchange) -> JsonResponse:
        """Return the response for a ranking."""
        response = super().encode(ranking, exchange)
        units = response.content["meta"]["billed_units"]
        return replace(response, content={**response.content, "usage": {**response.content["usage"], **units}})

    def encode_error(self, error: RequestError, exchange: Exchange) -> JsonResponse:
        """Return the response for an error."""
        response, status = super().encode_error(error, exchange), unrepeated_status(error)
        content = response.content
        if "error" in content:
            details = {**content["error"], "code": status, "metadata": {"reason": error.reason}}
            content = {**content, "error": details}
        return replace(response, content=content, status=status)


DIALECT = OpenRouter()
