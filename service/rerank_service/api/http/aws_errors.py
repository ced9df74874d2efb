"""Errors in the form of Amazon Bedrock, as AWS SDKs parse them: the type in a header, the message in the body.

Source: AWS restJson1 protocol, "Operation error serialization"; botocore, parsers.py, RestJSONParser.
"""

from typing_extensions import TypedDict

from rerank_service.api.field_names import FieldNames, with_field_names
from rerank_service.api.http.body import documented
from rerank_service.api.http.dialects.contract import Exchange, JsonResponse
from rerank_service.api.http.errors import UNREPEATED_STATUSES, unrepeated_status
from rerank_service.errors import RequestError

_TYPES = {
    400: "ValidationException",
    401: "AccessDeniedException",
    403: "AccessDeniedException",
    404: "ResourceNotFoundException",
    405: "ValidationException",
    408: "ModelTimeoutException",
    413: "ValidationException",
    415: "ValidationException",
    424: "DependencyFailedException",
    429: "ThrottlingException",
    503: "ServiceUnavailableException",
}
"""Types of Bedrock's API model by HTTP status, in Rerank. Any other status is an InternalServerException. AWS SDKs
repeat a 500 and a 504 up to four times, so a model that fails is 424, and an exceeded deadline is 408."""


@documented
class AwsError(TypedDict):
    """An error. Its type is in the header `x-amzn-errortype`."""

    message: str
    """The message."""


AWS_ERROR_TYPES = dict.fromkeys(UNREPEATED_STATUSES, AwsError)
"""Type of an error's body, by HTTP status."""


def aws_headers(exchange: Exchange) -> dict[str, str]:
    """Return the headers of any response. AWS SDKs show the request id as `ResponseMetadata.RequestId`."""
    return {"x-amzn-requestid": exchange.id}


def aws_error_headers(error: RequestError, exchange: Exchange) -> dict[str, str]:
    """Return the headers of an error, from which AWS SDKs take its type."""
    return {
        "x-amzn-errortype": _TYPES.get(unrepeated_status(error), "InternalServerException"),
        **aws_headers(exchange),
    }


def aws_error(error: RequestError, exchange: Exchange, names: FieldNames) -> JsonResponse:
    """Return the response for an error. `names` are the client's names of the fields."""
    message, _ = with_field_names(error, names)
    body: AwsError = {"message": message}
    return JsonResponse(body, unrepeated_status(error), aws_error_headers(error, exchange))
