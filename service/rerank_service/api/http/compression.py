"""Compression of responses: gzip, for large responses and clients that accept it."""

from starlette.datastructures import Headers
from starlette.middleware.gzip import GZipMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

_MIN_BYTES = 16 * 1024
"""Size from which a response is compressed. Most HTTP clients accept gzip unasked, and a smaller response would wait
longer for its compression than for a network."""
_LEVEL = 1
"""The fastest level of zlib. JSON with documents shrinks by half or more."""
_ACCEPT_ENCODING = "accept-encoding"


class CompressedResponses:
    """Middleware: Starlette's, with the preferences (q-values) of the client, which Starlette's ignores."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = GZipMiddleware(app, minimum_size=_MIN_BYTES, compresslevel=_LEVEL)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope = {**scope, "headers": _with_gzip_only(scope)}
        await self._app(scope, receive, send)


def _with_gzip_only(scope: Scope) -> list[tuple[bytes, bytes]]:
    """Return the headers with `Accept-Encoding: gzip` if the client accepts it, else without the header."""
    wanted = accepts_gzip(", ".join(Headers(scope=scope).getlist(_ACCEPT_ENCODING)))
    others = [(name, value) for name, value in scope["headers"] if name != _ACCEPT_ENCODING.encode()]
    return [*others, (_ACCEPT_ENCODING.encode(), b"gzip")] if wanted else others


def accepts_gzip(accept_encoding: str) -> bool:
    """Return whether a client accepts gzip, and does not prefer uncompressed responses (RFC 9110, 12.5.3)."""
    weights = dict(map(_weight, accept_encoding.lower().split(",")))
    gzip = weights.get("gzip", weights.get("x-gzip", weights.get("*", 0.0)))
    return gzip > 0 and gzip >= weights.get("identity", 0.0)


def _weight(item: str) -> tuple[str, float]:
    """Return a coding and its q-value. An invalid q-value counts as 0."""
    coding, _, parameter = item.partition(";")
    name, _, value = parameter.partition("=")
    if not parameter.strip():
        return coding.strip(), 1.0
    try:
        return coding.strip(), float(value) if name.strip() == "q" else 1.0
    except ValueError:
        return coding.strip(), 0.0
