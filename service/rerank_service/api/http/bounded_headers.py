"""Reject requests whose target and headers are too large.

h11 has such a limit, and checks it only while the end of the headers is missing. What arrives at once may be larger.
"""

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from rerank_service.api.http.dialects.contract import Exchange
from rerank_service.api.http.dialects.unified import DIALECT as UNIFIED
from rerank_service.api.http.observed_app import observation_of
from rerank_service.api.http.routes import error_response
from rerank_service.errors import HeadersTooLarge, excerpt
from rerank_service.quantities import counted

MAX_HEADER_BYTES = 64 * 1024
_LINE_BYTES = 4
"""Bytes of a header beside its name and its value: colon, space and line break."""


class BoundedHeaders:
    """Passes requests with headers of up to 64 KiB to an application."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Respond with status 431 if the headers are too large."""
        if scope["type"] != "http" or _size(scope) <= MAX_HEADER_BYTES:
            await self._app(scope, receive, send)
            return
        observation = observation_of(Request(scope))
        error = HeadersTooLarge(
            f"The path and the headers have more than {counted(MAX_HEADER_BYTES, 'byte')}: send fewer or shorter ones.",
            reason="headers_too_large",
        )
        observation.fail(error)
        response = error_response(error, UNIFIED, Exchange(observation.id, excerpt(scope["path"])))
        await response(scope, receive, send)


def _size(scope: Scope) -> int:
    headers = sum(len(name) + len(value) + _LINE_BYTES for name, value in scope["headers"])
    return len(scope["raw_path"]) + len(scope["query_string"]) + headers
