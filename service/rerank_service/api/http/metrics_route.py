"""The path /metrics, on the REST port or on a port of its own."""

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response

from rerank_service.api.auth import Keys

METRICS = "/metrics"
MetricsText = Callable[[str], Awaitable[tuple[bytes, str]]]
"""Returns the metrics and their content type. Takes the header `Accept` of the request."""


class MetricsRoute:
    """Responds with the metrics."""

    def __init__(self, text: MetricsText, keys: Keys) -> None:
        """Callers need one of the `keys`, if there are any."""
        self._text = text
        self._keys = keys

    async def __call__(self, request: Request) -> Response:
        """Return the metrics.

        Raises:
            Unauthenticated: the request has no valid key.
        """
        self._keys.check(request.headers)
        content, content_type = await self._text(request.headers.get("accept", ""))
        return Response(content, headers={"content-type": content_type})
