"""Compression of responses: gzip, for large responses and clients that accept it."""

from collections.abc import Iterable
from functools import lru_cache

from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

_MIN_BYTES = 16 * 1024
"""Size from which a response is compressed. Most HTTP clients accept gzip unasked, and a smaller response would wait
longer for its compression than for a network."""
_LEVEL = 1
"""The fastest level of zlib. JSON with documents shrinks by half or more."""
_ACCEPT_ENCODING = b"accept-encoding"


class CompressibleJson(Response):
    """A JSON response. A large one is compressed by Starlette's middleware, as the client prefers."""

    media_type = "application/json"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if len(self.body) < _MIN_BYTES:
            await super().__call__(scope, receive, send)
            return
        compressed = GZipMiddleware(super().__call__, minimum_size=_MIN_BYTES, compresslevel=_LEVEL)
        # Starlette ignores q-values
        await compressed({**scope, "headers": _negotiated(scope["headers"])}, receive, send)


def _negotiated(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Return the headers with `Accept-Encoding: gzip` if the client accepts it, else without `Accept-Encoding`."""
    sent = b",".join(value for name, value in headers if name == _ACCEPT_ENCODING)
    others = [header for header in headers if header[0] != _ACCEPT_ENCODING]
    return [*others, (_ACCEPT_ENCODING, b"gzip")] if accepts_gzip(sent.decode("latin-1")) else others


@lru_cache(maxsize=128)  # clients always send the same
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
