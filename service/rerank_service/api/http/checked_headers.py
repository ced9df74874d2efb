"""Reject requests whose headers are too large, or leave open where the body ends.

h11 has a limit of size, and checks it only while the end of the headers is missing. What arrives at once may be larger.

A proxy and this server must agree where a request ends. If they did not, a caller could hide a second request in the
first one, behind the checks of the proxy (request smuggling; RFC 9112, 6.1).
"""

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from rerank_service.api.http.limited_parser import MAX_HEADER_BYTES
from rerank_service.api.http.routes import failure_response
from rerank_service.errors import HeadersTooLarge, InvalidRequest
from rerank_service.quantities import counted

_LINE_BYTES = 4
"""Bytes of a header beside its name and its value: colon, space and line break."""
_LENGTH, _CODING = b"content-length", b"transfer-encoding"


class CheckedHeaders:
    """Passes requests with valid headers to an application."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Respond with an error if the headers are wrong, and close the connection."""
        error = header_problem(scope) if scope["type"] == "http" else None
        if error is None:
            await self._app(scope, receive, send)
            return
        response = failure_response(Request(scope), error)
        response.headers["connection"] = "close"
        await response(scope, receive, send)


def header_problem(scope: Scope) -> InvalidRequest | None:
    """Return the error if the headers of an HTTP request are wrong."""
    if _size(scope) > MAX_HEADER_BYTES:
        return HeadersTooLarge(
            f"The path and the headers have more than {counted(MAX_HEADER_BYTES, 'byte')}: send fewer or shorter ones.",
            reason="headers_too_large",
        )
    names = {name for name, _ in scope["headers"]}
    if _CODING in names and (_LENGTH in names or scope["http_version"] == "1.0"):
        return InvalidRequest(
            "The request has Transfer-Encoding beside Content-Length, or in HTTP/1.0: send one of them, in HTTP/1.1.",
            field="Transfer-Encoding",
            reason="ambiguous_length",
        )
    return None


def _size(scope: Scope) -> int:
    headers = sum(len(name) + len(value) + _LINE_BYTES for name, value in scope["headers"])
    return len(scope["raw_path"]) + len(scope["query_string"]) + headers
