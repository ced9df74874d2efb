"""Fireworks AI: the unified dialect on `/inference/v1/rerank`, with the ranking under `data` and without name prefixes.

Results contain their documents unless the request declines.

Source: Fireworks AI, inference API reference, "Rerank documents"; litellm, llms/fireworks_ai/rerank/transformation.py,
which puts `fireworks/` before each name.
"""

from dataclasses import replace
from typing import Any, Literal

from rerank_service.api.http.body import documented
from rerank_service.api.http.dialects.contract import Body, DecodedRequest, Exchange, JsonResponse
from rerank_service.api.http.dialects.unified import Unified, UnifiedBody, UnifiedResponse, VoyageResult, voyage_results
from rerank_service.api.http.field_types import Flag
from rerank_service.api.http.openapi_tags import HOSTED
from rerank_service.ranking.ranking import Ranking

_PREFIXES = ("accounts/fireworks/models/", "fireworks/")


class FireworksBody(UnifiedBody):  # type: ignore[no-redef]  # pydantic's plugin reserves the name kwargs
    """A request of Fireworks AI."""

    return_documents: Flag = None
    """If false, the results do not contain their documents. Default: true."""
    task: str | None = None
    """Fireworks AI's name of `instruction`. `instruction` and `instruct` override it."""


@documented
class FireworksResponse(UnifiedResponse):
    """The ranking."""

    object: Literal["list"]  # type: ignore[misc]  # no client of another service has this path
    data: list[VoyageResult]  # type: ignore[misc]  # always present
    """The same ranking, with documents as strings."""


class Fireworks(Unified):
    """The Fireworks AI dialect."""

    paths = ("/inference/v1/rerank",)
    documented_paths = paths
    title = "Fireworks AI"
    tag = HOSTED
    request_type = FireworksBody
    response_type: Any = FireworksResponse
    returns_documents = True
    instruction_fields = (*Unified.instruction_fields, "task")

    def decode(self, body: Body) -> DecodedRequest:
        """Return the request of a body. A prefix of Fireworks AI is not a part of the model's name."""
        decoded = super().decode(body)
        model = decoded.request.model
        for prefix in _PREFIXES:
            model = model.removeprefix(prefix)
        return replace(decoded, request=replace(decoded.request, model=model))

    def encode(self, ranking: Ranking, exchange: Exchange) -> JsonResponse:
        """Return the response for a ranking."""
        response = super().encode(ranking, exchange)
        return replace(response, content={**response.content, "object": "list", "data": voyage_results(ranking)})


DIALECT = Fireworks()
