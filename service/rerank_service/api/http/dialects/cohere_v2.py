"""The unified bodies on the paths of Cohere's v2, where 4,096 tokens are read of a document unless a body says more."""

from dataclasses import replace

from rerank_service.api.http.dialects import Body, DecodedRequest
from rerank_service.api.http.dialects.unified import COHERE_V2_PATHS, Unified

_DOCUMENT_TOKENS = 4096


class CohereV2(Unified):
    """The dialect."""

    paths = COHERE_V2_PATHS
    shown = ("/v2/rerank",)

    def decode(self, body: Body) -> DecodedRequest:
        """A body's request and documents."""
        asked = super().decode(body)
        most = asked.request.max_tokens_per_doc or _DOCUMENT_TOKENS
        return replace(asked, request=replace(asked.request, max_tokens_per_doc=most))


DIALECT = CohereV2()
