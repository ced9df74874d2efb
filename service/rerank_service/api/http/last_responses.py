"""`connection: close` on the responses of a stopping server, so that clients and proxies leave it.

A client with a kept-alive connection does not look up the service again. Without this header, it would send requests
to a stopping server until the connection breaks. gRPC sends GOAWAY for the same reason.
"""

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class LastResponses:
    """Passes requests to an application. After `begin`, each response is the last one of its connection."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._begun = False

    def begin(self) -> None:
        """Close each connection after the next response that begins on it. Idle connections stay open until then."""
        self._begun = True

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_last(message: Message) -> None:
            if self._begun and message["type"] == "http.response.start":
                MutableHeaders(scope=message)["connection"] = "close"  # uvicorn then closes the connection
            await send(message)

        await self._app(scope, receive, send_last)
