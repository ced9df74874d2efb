"""A server that speaks JSON over HTTP: this one, or another Cohere- or TEI-style one."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus

import httpx

from rerank_service.quantities import duration
from rerank_service.tools.http_answers import (
    NOT_SPOKEN_HERE,
    base_of,
    connected,
    introduction,
    json_of,
    kind,
    message_of,
    parsed,
)
from rerank_service.tools.loadtest.dialects import Dialect, Route, body, read, routes
from rerank_service.tools.loadtest.errors import LoadFailed
from rerank_service.tools.loadtest.target import NO_ANSWER_IN_TIME, NO_CONNECTION, Answer, CallFailed, Client, Served
from rerank_service.tools.loadtest.workload import Request, Workload

_REFUSALS = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)
_PROBE_SECONDS = 60.0
_SECONDS_TO_HEAR_A_REFUSAL = 0.5
"""Beyond the deadline, so that a server which keeps deadlines is heard saying so."""


class HttpTarget:
    """Reached by httpx."""

    def __init__(
        self, url: str, *, dialect: Dialect | None = None, model: str = "", api_key: str | None = None
    ) -> None:
        """Without a path in the URL the usual ones are tried, without a dialect both; without a model's name the
        first that the server lists is asked for."""
        self._base = base_of(url)
        self._routes = routes(parsed(url).path, dialect)
        self._model = model
        self._api_key = api_key
        self._route = self._routes[0]

    async def probe(self) -> Served:
        """As in Target; afterwards clients speak as the server does."""
        async with self._connected(_PROBE_SECONDS) as http:
            try:
                said = await introduction(http)
            except httpx.HTTPError as error:
                raise LoadFailed(f"{self._base}: {NO_CONNECTION}: {error or type(error).__name__}") from error
            self._model = self._model or said.model
            self._route = await self._spoken(http)
        return Served(said.model, said.precision, said.provider, f"{self._route.dialect.value} {self._route.path}")

    @asynccontextmanager
    async def client(self, deadline: float | None = None) -> AsyncIterator[Client]:
        """As in Target."""
        async with self._connected(None) as http:
            yield _HttpClient(http, self._route, self._model, deadline)

    def _connected(self, timeout: float | None) -> httpx.AsyncClient:
        return connected(str(self._base), self._api_key, timeout)

    async def _spoken(self, http: httpx.AsyncClient) -> Route:
        """The first route on which a small request is ranked."""
        heard: list[str] = []
        for route in self._routes:
            try:
                await _HttpClient(http, route, self._model, _PROBE_SECONDS).rank(Workload(documents=2).request(0))
            except CallFailed as error:
                heard.append(f"{route.path} ({route.dialect.value}): {error.kind}: {error}")
                if error.kind not in map(kind, NOT_SPOKEN_HERE):
                    break
            else:
                return route
        raise LoadFailed(f"{self._base} does not rank; " + "; ".join(heard))


class _HttpClient:
    def __init__(self, http: httpx.AsyncClient, route: Route, model: str, deadline: float | None) -> None:
        self._http = http
        self._route = route
        self._model = model
        self._deadline = deadline
        self._headers = {"x-request-timeout": str(deadline)} if deadline else {}  # others than ours ignore it

    async def connect(self) -> None:
        await self._http.get("/")

    async def rank(self, request: Request) -> Answer:
        dialect = self._route.dialect
        try:
            async with asyncio.timeout(self._deadline and self._deadline + _SECONDS_TO_HEAR_A_REFUSAL):
                content = body(dialect, request, self._model)
                answer = await self._http.post(self._route.path, json=content, headers=self._headers)
        except (TimeoutError, httpx.TimeoutException) as error:
            raise CallFailed(NO_ANSWER_IN_TIME, f"none after {duration(self._deadline or 0.0)}") from error
        except httpx.HTTPError as error:
            raise CallFailed(NO_CONNECTION, f"{error or type(error).__name__}") from error
        if answer.status_code == HTTPStatus.GATEWAY_TIMEOUT:
            raise CallFailed(NO_ANSWER_IN_TIME, message_of(answer))
        if not answer.is_success:
            refused = answer.status_code in _REFUSALS
            raise CallFailed(kind(answer.status_code), message_of(answer), refused=refused)
        return read(dialect, request, json_of(answer))
