"""Amazon Bedrock's InvokeModel: the unified dialect on `/model/{id}/invoke`, with errors as AWS SDKs parse them.

Source: Amazon Bedrock user guide, "Cohere Rerank 3.5"; botocore, data/bedrock-runtime/2023-09-30/service-2.json. The
path names the model: a name or alias, or an ARN that ends in one. Cohere's `api_version` has no effect.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from rerank_service.api.http.aws_errors import AWS_ERROR_TYPES, aws_error, aws_headers
from rerank_service.api.http.dialects.bedrock import model_of_arn
from rerank_service.api.http.dialects.contract import Body, DecodedRequest, Exchange, JsonResponse
from rerank_service.api.http.dialects.paths import PATH_MODEL
from rerank_service.api.http.dialects.unified import Unified
from rerank_service.api.http.openapi_tags import HOSTED
from rerank_service.errors import InferenceFailed, RequestError
from rerank_service.ranking.ranking import Ranking

_EXAMPLE: Body = {**Unified.example, "api_version": 2}


class BedrockRuntime(Unified):
    """The dialect of Bedrock's InvokeModel."""

    paths = (f"/model/{PATH_MODEL}/invoke",)
    documented_paths = paths
    title = "Amazon Bedrock (InvokeModel)"
    tag = HOSTED
    error_types: Mapping[int, Any] = AWS_ERROR_TYPES
    example = _EXAMPLE

    def matches(self, body: Body) -> bool:  # noqa: ARG002 - no other dialect has this path
        """Return True: no other dialect has this path."""
        return True

    def decode(self, body: Body) -> DecodedRequest:
        """Return the request of a body."""
        decoded = super().decode(body)
        return replace(decoded, request=replace(decoded.request, model=model_of_arn(decoded.request.model)))

    def encode(self, ranking: Ranking, exchange: Exchange) -> JsonResponse:
        """Return the response for a ranking."""
        return replace(super().encode(ranking, exchange), headers=aws_headers(exchange))

    def encode_error(self, error: RequestError, exchange: Exchange) -> JsonResponse:
        """Return the response for an error."""
        response = aws_error(error, exchange, self.field_names(exchange.body))
        if isinstance(error, InferenceFailed):  # Rerank has another type for the same status
            return replace(response, headers={**response.headers, "x-amzn-errortype": "ModelErrorException"})
        return response


DIALECT = BedrockRuntime()
