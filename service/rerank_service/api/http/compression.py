"""Compression of responses: gzip, for large responses and clients that accept it."""

import asyncio
import gzip
from functools import lru_cache

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

_MIN_BYTES = 16 * 1024
"""Size from which a response is compressed. Most HTTP clients accept gzip unasked, and a smaller response would wait
longer for its compression than for a network."""
_LEVEL = 1
"""The fastest level of zlib. JSON with documents shrinks by half or more."""


class CompressibleJson(Response):
    """A JSON response. A large one is compressed as the client prefers.

    It is compressed in a thread, at about 50 MB/s. Starlette's GZipMiddleware would block the event loop so long, and
    it ignores q-values.
    """

    media_type = "application/json"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if len(self.body) >= _MIN_BYTES:
            self.headers.add_vary_header("Accept-Encoding")
            if accepts_gzip(",".join(Headers(scope=scope).getlist("accept-encoding"))):
                self.body = await asyncio.to_thread(gzip.compress, self.body, _LEVEL)
                self.headers["content-encoding"] = "gzip"
                self.headers["content-length"] = str(len(self.body))
        await super().__call__(scope, receive, send)


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
