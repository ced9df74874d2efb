"""Body of an error. It has the message under `message`, `detail` and `error`, because clients read different keys."""

from collections.abc import Mapping
from typing import Any, NotRequired

from typing_extensions import TypedDict

from rerank_service.api.field_names import FieldNames, with_field_names
from rerank_service.api.http.body import documented
from rerank_service.errors import DeadlineExceeded, InferenceFailed, RequestError

_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    405: "not_found_error",
    408: "timeout_error",
    413: "request_too_large",
    415: "unsupported_media_type",
    429: "rate_limit_error",
    431: "request_too_large",
    503: "overloaded_error",
    504: "timeout_error",
}
STATUSES = (400, 401, 403, 404, 408, 413, 415, 429, 500, 503, 504)
"""HTTP statuses of errors in every dialect."""
UNREPEATED_STATUSES = (*(status for status in STATUSES if status != 504), 424)
"""HTTP statuses of errors in dialects with `unrepeated_status`."""
_OWN_NAMES = FieldNames()


@documented
class ErrorObject(TypedDict):
    """The error in the form of OpenAI."""

    message: str
    """The message."""
    type: str
    """Class of the error, such as `invalid_request_error`."""
    param: str | None
    """The invalid field, as the client named it, such as `documents[3]`."""
    code: str | None
    """Stable identifier of the error, such as `empty_query`."""


@documented
class ErrorBody(TypedDict):
    """An error. The same message is in all three fields."""

    message: str
    """The message."""
    detail: str
    """The message."""
    error: NotRequired[ErrorObject]
    """The error in the form of OpenAI. Absent if the request has `top_k` or `truncation`."""


def unrepeated_status(error: RequestError) -> int:
    """Return the HTTP status of an error for SDKs that repeat every 500 and 504, although a second try fails, too.

    A deadline that is exceeded is 408, and a model that fails is 424.
    """
    match error:
        case DeadlineExceeded():
            return 408
        case InferenceFailed():
            return 424
        case _:
            return error.http_status


def error_body(error: RequestError, sent: Mapping[str, Any], names: FieldNames = _OWN_NAMES) -> ErrorBody:
    """Return the body for an error.

    `error.code` is a string, because together 1.x requires one. The words "invalid_request_error" are in bodies of
    status 400 only, because litellm takes every body that contains them for a 400.

    Args:
        error: the error.
        sent: the body of the request; empty if it could not be read.
        names: the client's names of the fields.
    """
    message, field = with_field_names(error, names)
    body: ErrorBody = {"message": message, "detail": message}
    # voyageai up to 0.4.1 fails on an error object while it builds its own exception
    if not {"top_k", "truncation"} & sent.keys():
        kind = _TYPES.get(error.http_status, "server_error")
        body["error"] = {"message": message, "type": kind, "param": field, "code": error.reason}
    return body
