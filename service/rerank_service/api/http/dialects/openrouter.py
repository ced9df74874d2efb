"""OpenRouter: the unified dialect on `/api/v1/rerank`. Results contain their documents unless the request declines.

Source: OpenRouter API reference, "Submit a rerank request"; @openrouter/sdk for JavaScript, operations/creatererank.js,
which has no `return_documents` and requires the `document` of each result.
"""

from rerank_service.api.http.dialects.unified import Unified, UnifiedBody
from rerank_service.api.http.field_types import Flag
from rerank_service.api.http.openapi_tags import HOSTED


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
    returns_documents = True


DIALECT = OpenRouter()
