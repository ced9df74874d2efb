"""Observe each HTTP request, whatever answers it: a route, an unknown path, or the page /docs."""

from contextlib import suppress
from http import HTTPStatus

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rerank_service.api.client_address import http_peer
from rerank_service.api.http.dialects import all_look_ups
from rerank_service.api.http.liveness import LIVE
from rerank_service.api.http.metrics_route import METRICS
from rerank_service.api.http.playground.routes import FILES
from rerank_service.api.request_id import request_id_from
from rerank_service.api.request_observation import Observing, RequestObservation
from rerank_service.error_text import excerpt
from rerank_service.observability.request_record import OTHER

UNOBSERVED = frozenset(
    (
        LIVE,
        "/health/ready",
        METRICS,
        FILES,
        *(look_up.path for look_up in all_look_ups() if look_up.is_health_check),
    )
)
"""Routes of health checks, metrics and files of the playground. They would hide the requests of callers."""
_ALWAYS_OBSERVED = (
    HTTPStatus.UNAUTHORIZED,
    HTTPStatus.FORBIDDEN,
    HTTPStatus.NOT_FOUND,
    HTTPStatus.METHOD_NOT_ALLOWED,
    HTTPStatus.INTERNAL_SERVER_ERROR,
)
"""Statuses that no health check should get. A caller who guesses API keys, and an error of the server, are seen on
every route."""
_KEY = "rerank.observation"
_UNSENT = 500
"""Status of a request that ended without a response. uvicorn then responds with 500."""


class ObservedApp:
    """Passes requests to an application, and their records to the observer."""

    def __init__(self, app: ASGIApp, observing: Observing) -> None:
        self._app = app
        self._observing = observing
        routes = [route for route in getattr(app, "routes", ()) if isinstance(route, Route)]
        self._paths = {route.endpoint: route.path for route in routes}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        observation, responded = self._observation(scope), False

        async def send_observed(message: Message) -> None:
            nonlocal responded
            if message["type"] == "http.response.start":
                observation.status, responded = message["status"], True
            await send(message)

        scope = {**scope, _KEY: observation}
        try:
            await self._app(scope, receive, send_observed)
        finally:
            observation.route = self._route(scope)
            if observation.route not in UNOBSERVED or (responded and observation.status in _ALWAYS_OBSERVED):
                observation.finish()

    def _observation(self, scope: Scope) -> RequestObservation:
        headers, observing = Headers(scope=scope), self._observing
        return RequestObservation(
            observer=observing.observer,
            id=request_id_from(headers),
            protocol="rest",
            method=excerpt(scope["method"]),
            call=excerpt(scope["path"]),
            status=_UNSENT,
            client=observing.proxies.client(http_peer(scope["client"]), headers.items),
            scheme=scope.get("scheme", "http"),
            headers=headers.items,
            keep_texts=observing.keep_texts,
            traced=observing.traced,
        )

    def _route(self, scope: Scope) -> str:
        """Return the template of the path, such as /v1/models/{model:path}; `OTHER` if no route has it."""
        return self._paths[scope["endpoint"]] if scope.get("endpoint") in self._paths else OTHER


def observation_of(request: Request) -> RequestObservation:
    """Return the observation of a request that `ObservedApp` passed on."""
    with suppress(KeyError):
        observation: RequestObservation = request.scope[_KEY]
        return observation
    raise AssertionError("the application is served without ObservedApp")
