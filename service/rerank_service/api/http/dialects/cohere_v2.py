"""Cohere v2: the unified dialect on Cohere's v2 paths, with a default limit of 4,096 tokens per document.

Source: Cohere API reference, v2/rerank, `max_tokens_per_doc`. vLLM has one of these paths too: a request with its
`truncate_prompt_tokens` sets the limit itself.
"""

from dataclasses import replace

from rerank_service.api.http.dialects.contract import Body, DecodedRequest
from rerank_service.api.http.dialects.paths import COHERE_V2_PATHS
from rerank_service.api.http.dialects.unified import Unified
from rerank_service.api.http.openapi_tags import RERANK

_DEFAULT_TOKENS_PER_DOC = 4096


class CohereV2(Unified):
    """The Cohere v2 dialect."""

    paths = COHERE_V2_PATHS
    documented_paths = ("/v2/rerank",)
    title = "Cohere v2"
    tag = RERANK

    def decode(self, body: Body) -> DecodedRequest:
        """Return the request of a body."""
        decoded = super().decode(body)
        if decoded.request.max_tokens_per_doc or body.get("truncate_prompt_tokens"):
            return decoded
        return replace(decoded, request=replace(decoded.request, max_tokens_per_doc=_DEFAULT_TOKENS_PER_DOC))


DIALECT = CohereV2()
