"""CORS: which pages of other origins may send requests from a browser. Source: the Fetch standard, section 3.3."""

import re
from collections.abc import Sequence
from functools import partial

from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from rerank_service.api.http.checked_headers import header_problem

_MAX_AGE = 600
"""Seconds for which a browser keeps the response to a preflight request."""
_ALLOWED = "access-control-allow-headers"
_NAMES = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z, -]{0,1024}")
"""Names of headers (tokens of RFC 9110), separated by commas: a response to a preflight request repeats them."""
EXPOSED_HEADERS = (
    "x-request-id",
    "retry-after",
    "x-should-retry",
    "x-query-truncated",
    "x-rerank-warnings",
    "www-authenticate",
    "x-rerank-score-type",
    "server-timing",
    "x-compute-type",
    "x-compute-time",
    "x-compute-characters",
    "x-compute-tokens",
    "x-total-time",
    "x-tokenization-time",
    "x-queue-time",
    "x-inference-time",
    "accept-encoding",
    "allow",
    "x-amzn-errortype",
    "x-amzn-requestid",
)
"""Headers of our responses that scripts may read, beside those that browsers always show."""


class _Cors(CORSMiddleware):
    """Allows the headers that a preflight request asks for, if they are names and have at most 1 KiB."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Add the headers to all responses. A preflight request with wrong headers gets the error of CheckedHeaders."""
        if scope["type"] == "http" and scope["method"] == "OPTIONS" and header_problem(scope) is not None:
            headers = Headers(scope=scope)
            respond = self.app if "origin" not in headers else partial(self.simple_response, request_headers=headers)
            await respond(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)

    def preflight_response(self, request_headers: Headers) -> Response:
        """Return the response to a preflight request."""
        response = super().preflight_response(request_headers)
        if not _NAMES.fullmatch(response.headers.get(_ALLOWED, "")):
            del response.headers[_ALLOWED]  # the browser then sends no request
        return response


def cors_middleware(origins: Sequence[str]) -> list[Middleware]:
    """Return what lets pages of these origins read responses. Without origins: nothing, and no response has a header of
    CORS.

    Any request header is allowed, because clients send headers of their own, such as `x-stainless-lang` (together) and
    `x-fern-language` (cohere). Credentials are not: the server has no cookies, and keys are in headers.
    """
    cors = Middleware(
        _Cors,
        allow_origins=list(origins),
        allow_methods=("GET", "HEAD", "POST"),
        allow_headers=("*",),
        expose_headers=EXPOSED_HEADERS,
        max_age=_MAX_AGE,
    )
    return [cors] if origins else []
