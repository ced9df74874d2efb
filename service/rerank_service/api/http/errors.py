"""An error's body as most clients look for it: under `message`, `detail` and `error` at once."""

import re
from collections.abc import Mapping
from typing import Any, NotRequired

from typing_extensions import TypedDict

from rerank_service.errors import RequestError

_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    404: "not_found_error",
    405: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}
_DOCUMENTS = re.compile(r"^documents\b|\bdocuments(?=\[)")
"""The core's name for the documents of a request, where a sentence is about one or all of them."""
STATUSES = (400, 401, 404, 413, 429, 500, 503, 504)
"""Of errors, in every dialect."""


class ErrorObject(TypedDict):
    """What OpenAI's kin read."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorBody(TypedDict):
    """An error."""

    message: str
    detail: str
    error: NotRequired[ErrorObject]


def error_body(error: RequestError, sent: Mapping[str, Any], *, documents: str = "documents") -> ErrorBody:
    """The body of an error's answer to what was sent; `documents` is what the sender calls its documents.

    `error.code` is a string, which together 1.x demands, and the words "invalid_request_error" are in no other than
    400 bodies, since litellm takes any that has them for one.
    """
    message, field = told(error, documents)
    body: ErrorBody = {"message": message, "detail": message}
    # voyageai up to 0.4.1 fails on an error object while it builds its own exception
    if not {"top_k", "truncation"} & sent.keys():
        kind = _TYPES.get(error.http_status, "server_error")
        body["error"] = {"message": message, "type": kind, "param": field, "code": error.reason}
    return body


def told(error: RequestError, documents: str) -> tuple[str, str | None]:
    """The sentence and the field, where the sender has another name for its documents."""
    return _DOCUMENTS.sub(documents, str(error)), error.field and _DOCUMENTS.sub(documents, error.field)
