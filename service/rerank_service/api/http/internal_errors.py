"""Respond to errors that no route handles: in the form of all other errors, and with the headers of CORS.

Starlette's own handler of such errors is outside all middleware, so browsers would hide its response from scripts.
"""

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rerank_service.api.http.observed_app import observation_of
from rerank_service.api.http.routes import failure_response


class InternalErrors:
    """Passes requests to an application, and responds with 500 if the application raises an error."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Respond with 500 if the application fails. If its response has begun, uvicorn closes the connection."""
        begun = False

        async def send_noted(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, receive, send_noted)
        except Exception as error:
            if begun:
                observation_of(Request(scope)).fail(error)
                raise
            await failure_response(Request(scope), error)(scope, receive, send)
