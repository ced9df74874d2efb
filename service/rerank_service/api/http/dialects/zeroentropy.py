"""ZeroEntropy: the unified dialect on `/v1/models/rerank`, with the durations and sizes that its clients read.

Source: ZeroEntropy API reference, models/rerank; the SDK zeroentropy for Python, types/model_rerank_response.py.
"""

from dataclasses import replace
from typing import Any, Literal

from rerank_service.api.http.body import documented
from rerank_service.api.http.dialects.contract import Body, Exchange, JsonResponse
from rerank_service.api.http.dialects.unified import Unified, UnifiedResponse
from rerank_service.api.http.documents import as_text
from rerank_service.api.http.field_types import one_as_list
from rerank_service.api.http.openapi_tags import HOSTED
from rerank_service.ranking.ranking import Ranking

_BYTES_PER_DOCUMENT = 150
"""ZeroEntropy's overhead of a document in `total_bytes`."""


@documented
class ZeroEntropyResponse(UnifiedResponse):
    """The ranking."""

    actual_latency_mode: Literal["fast", "slow"]
    """The `latency` of the request, by default "fast". It has no effect: this server has one mode."""
    e2e_latency: float
    """Duration of the request, in seconds."""
    inference_latency: float
    """Duration of the inference, in seconds."""
    total_bytes: int
    """Size of the request: for each document, its bytes, those of the query, and 150."""
    total_tokens: int
    """Tokens of all pairs, without padding."""


class ZeroEntropy(Unified):
    """The ZeroEntropy dialect."""

    paths = ("/v1/models/rerank", "/models/rerank")
    documented_paths = ("/v1/models/rerank",)
    title = "ZeroEntropy"
    tag = HOSTED
    response_type: Any = ZeroEntropyResponse

    def matches(self, body: Body) -> bool:  # noqa: ARG002 - no other dialect has these paths
        """Return True: no other dialect has these paths."""
        return True

    def encode(self, ranking: Ranking, exchange: Exchange) -> JsonResponse:
        """Return the response for a ranking."""
        response = super().encode(ranking, exchange)
        content = {
            **response.content,
            "actual_latency_mode": "slow" if exchange.body.get("latency") == "slow" else "fast",
            "e2e_latency": ranking.timing.total,
            "inference_latency": ranking.timing.inference,
            "total_bytes": _total_bytes(exchange.body),
            "total_tokens": ranking.usage.prompt_tokens,
        }
        return replace(response, content=content)


def _total_bytes(body: Body) -> int:
    per_document = _BYTES_PER_DOCUMENT + len(as_text(body["query"]).encode())
    return sum(per_document + len(as_text(document).encode()) for document in one_as_list(body["documents"]))


DIALECT = ZeroEntropy()
