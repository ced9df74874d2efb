"""OpenRouter: the unified dialect on `/api/v1/rerank`. Results contain their documents unless the request declines.

Source: OpenRouter API reference, "Submit a rerank request"; @openrouter/sdk for JavaScript, operations/creatererank.js,
which has no `return_documents` and requires the `document` of each result, and funcs/rerankRerank.js, which repeats
each 5xx for an hour.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from rerank_service.api.http.dialects.contract import Exchange, JsonResponse
from rerank_service.api.http.dialects.unified import Unified, UnifiedBody
from rerank_service.api.http.errors import UNREPEATED_STATUSES, ErrorBody, unrepeated_status
from rerank_service.api.http.field_types import Flag
from rerank_service.api.http.openapi_tags import HOSTED
from rerank_service.errors import RequestError


class OpenRouterBody(UnifiedBody):  # type: ignore[no-redef]  # pydantic's plugin reserves the name kwargs
    """A request of OpenRouter."""

    return_documents: Flag = None
    """If false, the results do not contain their documents. Default: true."""


class OpenRouter(Unified):
    """The OpenRouter dialect."""

    paths = ("/api/v1/rerank",)
    documented_paths = paths
    title = "OpenRouter"
    tag = HOSTED
    request_type = OpenRouterBody
    error_types: Mapping[int, Any] = dict.fromkeys(UNREPEATED_STATUSES, ErrorBody)
    returns_documents = True

    def encode_error(self, error: RequestError, exchange: Exchange) -> JsonResponse:
        """Return the response for an error."""
        return replace(super().encode_error(error, exchange), status=unrepeated_status(error))


DIALECT = OpenRouter()
