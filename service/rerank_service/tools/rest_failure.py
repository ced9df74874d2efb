"""Failures of calls over HTTP, with the reason that the server gives."""

import re

import httpx

from rerank_service.errors import OperatorError
from rerank_service.tools.http_responses import (
    INVALID_BODY,
    UNKNOWN_PATH,
    read_json,
    read_message,
    read_retry_after,
    status_kind,
)
from rerank_service.tools.loadtest.dialects import Dialect

_FIELD_OF_OTHERS = {Dialect.COHERE: re.compile(r"\btexts\b"), Dialect.TEI: re.compile(r"\bdocuments\b")}
"""Field that a server misses in the body of a dialect if it expects another one."""


class RestCallFailed(OperatorError):
    """A call over HTTP failed or returned no valid ranking."""

    def __init__(self, message: str, *, status: int = 0, code: str = "", retry_after: float | None = None) -> None:
        """`status` is the HTTP status, 501 for a call that the JSON of the server cannot express, 504 if the response
        is late, 0 without a connection; `code` is the error code in the response."""
        super().__init__(message)
        self.status = status
        self.server_reason = code
        """Error code of the server; empty if the response has none."""
        self.retry_after = retry_after
        """Seconds until a repetition makes sense; None if the server does not say."""


class NoRoute(RestCallFailed):
    """The server has no such path."""


class OtherDialect(RestCallFailed):
    """The path of the server takes the JSON of another dialect."""


def failed_response(response: httpx.Response, dialect: Dialect | None = None) -> RestCallFailed:
    """Return the failure that a response reports. `dialect` is that of the request; None for a list of models."""
    status, message, code = response.status_code, read_message(response), _code(response)
    kind = RestCallFailed
    if dialect is not None and code in ("", str(status)):  # no code, or one that says no more than the status
        if status in UNKNOWN_PATH:
            kind = NoRoute
        elif status in INVALID_BODY and _FIELD_OF_OTHERS[dialect].search(message):
            kind = OtherDialect
    return kind(
        f"{response.request.url}: {status_kind(status)}: {message}",
        status=status,
        code=code,
        retry_after=read_retry_after(response),
    )


def _code(response: httpx.Response) -> str:
    value = read_json(response)
    error = value.get("error") if isinstance(value, dict) else None
    return str(error.get("code") or "") if isinstance(error, dict) else ""
