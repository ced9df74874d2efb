"""Load test target over HTTP: this server, or another one with Cohere's or TEI's JSON."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus

import httpx

from rerank_service.quantities import duration
from rerank_service.tools.client_tls import ClientTls
from rerank_service.tools.http_connection import DEADLINE_MARGIN_SECONDS, base_url, connect, parse_url
from rerank_service.tools.http_responses import UNKNOWN_ROUTE, read_json, read_message, read_server_info, status_kind
from rerank_service.tools.loadtest.dialects import Dialect, Route, body, read, routes
from rerank_service.tools.loadtest.errors import LoadTestFailed
from rerank_service.tools.loadtest.target import NO_ANSWER_IN_TIME, NO_CONNECTION, CallFailed, Client, ServerInfo, Usage
from rerank_service.tools.loadtest.workload import Request, Workload

_REFUSALS = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)
_PROBE_SECONDS = 60.0


class HttpTarget:
    """Target that uses httpx."""

    def __init__(
        self,
        url: str,
        *,
        dialect: Dialect | None = None,
        model: str = "",
        api_key: str | None = None,
        tls: ClientTls | None = None,
    ) -> None:
        """A URL without a path tries the usual paths, no dialect tries both, and no model name takes the first model
        that the server lists."""
        self._base = base_url(url)
        self._routes = routes(parse_url(url).path, dialect)
        self._model = model
        self._api_key = api_key
        self._tls = tls
        self._route = self._routes[0]

    async def probe(self) -> ServerInfo:
        """Send small requests to find the model and the route; see `Target.probe`. Later clients use both."""
        async with self._connected() as http:
            try:
                async with asyncio.timeout(_PROBE_SECONDS):
                    info = await read_server_info(http)
            except TimeoutError as error:
                message = f"no response after {duration(_PROBE_SECONDS)}"
                raise LoadTestFailed(f"{self._base}: {NO_ANSWER_IN_TIME}: {message}") from error
            except httpx.HTTPError as error:
                raise LoadTestFailed(f"{self._base}: {NO_CONNECTION}: {str(error) or type(error).__name__}") from error
            self._model = self._model or info.model
            self._route = await self._find_route(http)
        return ServerInfo(info.model, info.precision, info.provider, f"{self._route.dialect.value} {self._route.path}")

    @asynccontextmanager
    async def client(self, deadline: float | None = None) -> AsyncIterator[Client]:
        """Return a new client; see `Target.client`."""
        async with self._connected() as http:
            yield _HttpClient(http, self._route, self._model, deadline)

    def _connected(self) -> httpx.AsyncClient:
        return connect(str(self._base), self._api_key, self._tls)

    async def _find_route(self, http: httpx.AsyncClient) -> Route:
        """Return the first route that ranks a small request."""
        failures: list[str] = []
        for route in self._routes:
            try:
                await _HttpClient(http, route, self._model, _PROBE_SECONDS).rank(Workload(documents=2).request(0))
            except CallFailed as error:
                failures.append(f"{route.path} ({route.dialect.value}): {error.kind}: {error}")
                if error.kind not in map(status_kind, UNKNOWN_ROUTE):
                    break
            else:
                return route
        raise LoadTestFailed(f"{self._base} does not rank; " + "; ".join(failures))


class _HttpClient:
    def __init__(self, http: httpx.AsyncClient, route: Route, model: str, deadline: float | None) -> None:
        self._http = http
        self._route = route
        self._model = model
        self._deadline = deadline
        self._headers = {"x-request-timeout": str(deadline)} if deadline else {}  # other servers ignore it

    async def connect(self) -> None:
        async with asyncio.timeout(self._deadline):
            await self._http.get("/")

    async def rank(self, request: Request) -> Usage:
        dialect = self._route.dialect
        try:
            async with asyncio.timeout(self._deadline and self._deadline + DEADLINE_MARGIN_SECONDS):
                content = body(dialect, request, self._model)
                response = await self._http.post(self._route.path, json=content, headers=self._headers)
        except TimeoutError as error:
            raise CallFailed(NO_ANSWER_IN_TIME, f"no response after {duration(self._deadline or 0.0)}") from error
        except httpx.HTTPError as error:
            raise CallFailed(NO_CONNECTION, str(error) or type(error).__name__) from error
        if response.status_code == HTTPStatus.GATEWAY_TIMEOUT:
            raise CallFailed(NO_ANSWER_IN_TIME, read_message(response))
        if not response.is_success:
            refused = response.status_code in _REFUSALS
            raise CallFailed(status_kind(response.status_code), read_message(response), refused=refused)
        return read(dialect, request, read_json(response))
