"""HTTP client for rerank servers with JSON, with the methods and messages of the gRPC client `rerank.client`."""

import asyncio
import math
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self

import httpx

from rerank.client import DEFAULT_RETRIES, AsyncRerankClient
from rerank.v1 import rerank_pb2 as pb
from rerank_service.errors import InvalidRequest
from rerank_service.quantities import duration
from rerank_service.tools.client_tls import ClientTls
from rerank_service.tools.http_connection import DEADLINE_MARGIN_SECONDS, connect, parse_url
from rerank_service.tools.http_responses import INVALID_BODY, list_models, read_json
from rerank_service.tools.loadtest.dialects import Dialect, Route, body, check_ranking, routes
from rerank_service.tools.loadtest.target import CallFailed
from rerank_service.tools.loadtest.workload import Request
from rerank_service.tools.rest_failure import NoRoute, OtherDialect, RestCallFailed, failed_response
from rerank_service.tools.server_address import ServerAddress

_MODEL_FIELDS = (
    *("max_tokens", "precision", "provider", "choice", "calibration", "verdict", "digest", "memory_bytes"),
    *("document_tokens", "window_tokens", "max_query_chars", "max_document_chars"),
)
_SHORTEST_SECONDS = 0.001
"""Shortest time that is sent to a server, which rejects 0."""
_STATES = {name.removeprefix("MODEL_STATE_").lower(): value for name, value in pb.ModelState.items()}


class RestClient:
    """Client of the server at a URL. If the URL has no path, the usual paths are tried."""

    def __init__(
        self, url: str, *, api_key: str | None = None, timeout: float | None = None, tls: ClientTls | None = None
    ) -> None:
        """`timeout` is the deadline of each call in seconds, with all its requests; None for the server's default."""
        self._url = url
        self._routes = routes(parse_url(url).path, None)
        self._timeout = timeout
        self._http = connect(url, api_key, tls, connect_seconds=timeout or math.inf)
        self._model: str | None = None

    async def __aenter__(self) -> Self:
        """Open the connections."""
        await self._http.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connections."""
        await self._http.__aexit__(kind, error, trace)

    async def models(self) -> list[pb.Model]:
        """Return the models that the server lists.

        Raises:
            RestCallFailed: the server does not respond, or lists no models.
        """
        async with self._call():
            models = await list_models(self._http)
            if not models:
                raise failed_response(await self._http.get("/v1/models"))
        return [_model(model) for model in models]

    async def rerank(
        self,
        query: str,
        documents: Sequence[str],
        *,
        model: str = "",
        top_n: int | None = None,
        max_tokens_per_doc: int | None = None,
        too_long: pb.TooLong.ValueType = pb.TOO_LONG_UNSPECIFIED,
        score_type: pb.ScoreType.ValueType = pb.SCORE_TYPE_UNSPECIFIED,
    ) -> pb.RerankResponse:
        """Rank documents.

        Raises:
            InvalidRequest: `top_n` is negative.
            RestCallFailed: the call failed, or the response is not a ranking.
        """
        if top_n is not None and top_n < 0:
            raise InvalidRequest(f"top_n must be at least 0, not {top_n}", field="top_n")
        options = _options(max_tokens_per_doc, too_long, score_type)
        async with self._call() as deadline:
            name = model or await self._first_model()
            ranked = await self._rank_by_any_route(Request(query, tuple(documents)), name, options, deadline)
        del ranked.results[top_n or len(documents) :]  # 0: all, as for this server
        return ranked

    @asynccontextmanager
    async def _call(self) -> AsyncIterator[asyncio.Timeout]:
        """End the requests of a call at its deadline, and translate errors of the connection."""
        try:
            async with asyncio.timeout(self._timeout and self._timeout + DEADLINE_MARGIN_SECONDS) as deadline:
                yield deadline
        except TimeoutError as error:
            message = f"{self._url}: no response after {duration(self._timeout or 0.0)}"
            raise RestCallFailed(message, status=HTTPStatus.GATEWAY_TIMEOUT) from error
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error

    async def _first_model(self) -> str:
        if self._model is None:
            models = await list_models(self._http)
            self._model = str(models[0]["id"]) if models else ""
        return self._model

    async def _rank_by_any_route(
        self, request: Request, model: str, options: dict[str, Any], deadline: asyncio.Timeout
    ) -> pb.RerankResponse:
        failures: list[RestCallFailed] = []
        routes = self._routes
        while routes:
            route, *routes = routes
            try:
                ranked = await self._rank(route, request, model, options, deadline)
            except RestCallFailed as error:
                failures.append(error)
                routes = _worth_a_try(routes, route, error)
            else:
                self._routes = [route]
                return ranked
        raise min(failures, key=_doubt)

    async def _rank(
        self, route: Route, request: Request, model: str, options: dict[str, Any], deadline: asyncio.Timeout
    ) -> pb.RerankResponse:
        if route.dialect is Dialect.TEI and options.keys() - {"raw_scores"}:
            raise RestCallFailed(
                f"{self._url}{route.path} has TEI's JSON, which has no {', '.join(options)}",
                status=HTTPStatus.NOT_IMPLEMENTED,
            )
        content = body(route.dialect, request, model) | options
        response = await self._http.post(route.path, json=content, headers=_time_left(deadline))
        if not response.is_success:
            raise failed_response(response, route.dialect)
        try:
            ranked = _ranking(route.dialect, read_json(response), request, model)
        except (CallFailed, KeyError, TypeError, ValueError, AttributeError) as error:
            message = f"{response.request.url}: the response is not a ranking: {error}"
            raise RestCallFailed(message, status=response.status_code) from error
        ranked.timing.total.FromTimedelta(response.elapsed)
        return ranked

    def _unreachable(self, error: httpx.HTTPError) -> RestCallFailed:
        reason = str(error).rstrip(".") or type(error).__name__
        return RestCallFailed(f"{self._url}: no connection: {reason}{_next_step(error, reason)}")


def _next_step(error: httpx.HTTPError, reason: str) -> str:
    """Return the end of a message, which says what to do; empty if the connection broke later."""
    if "WRONG_VERSION_NUMBER" in reason:
        return ": the port has no TLS: give http://"
    if isinstance(error, httpx.RemoteProtocolError) and "illegal request line" in reason:
        return ": this is no REST server: give the REST port, or HOST:PORT for gRPC"
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.RemoteProtocolError):
        return ": check that the server runs, and that this is its REST address"
    return ""


def _worth_a_try(routes: list[Route], failed: Route, error: RestCallFailed) -> list[Route]:
    """Return the routes that may succeed after the failure of another one."""
    if isinstance(error, OtherDialect):
        return routes
    if isinstance(error, NoRoute):
        return [route for route in routes if route.path != failed.path]
    is_clear = error.status not in INVALID_BODY or error.server_reason
    return [] if is_clear else [route for route in routes if route.path == failed.path]


def _doubt(error: RestCallFailed) -> int:
    """Return how little a failure says about the request. Those of wrong paths and bodies say least."""
    return 2 if isinstance(error, NoRoute) else int(isinstance(error, OtherDialect))


def _time_left(deadline: asyncio.Timeout) -> dict[str, str]:
    """Return the header with the time that the server has for a request; none without a deadline."""
    ends = deadline.when()
    if ends is None:
        return {}
    seconds = ends - DEADLINE_MARGIN_SECONDS - asyncio.get_running_loop().time()
    return {"x-request-timeout": f"{max(seconds, _SHORTEST_SECONDS):.3f}"}


def client_of(
    server: ServerAddress,
    *,
    api_key: str | None = None,
    timeout: float | None = None,
    retries: int = DEFAULT_RETRIES,
) -> AsyncRerankClient | RestClient:
    """Return a client for the protocol of a server. `timeout` is the deadline of each call in seconds. `retries` is for
    gRPC: the maximum number of repetitions of a call."""
    if server.protocol == "http":
        return RestClient(server.target, api_key=api_key, timeout=timeout, tls=server.tls)
    return AsyncRerankClient(
        server.target, api_key=api_key, credentials=server.credentials(), timeout=timeout, retries=retries
    )


def _options(
    max_tokens_per_doc: int | None, too_long: pb.TooLong.ValueType, score_type: pb.ScoreType.ValueType
) -> dict[str, Any]:
    """Return the optional fields that are set. Few servers have them, so unset ones are left out."""
    options: dict[str, Any] = {}
    if max_tokens_per_doc is not None:
        options["max_tokens_per_doc"] = max_tokens_per_doc
    if too_long == pb.TOO_LONG_CUT:
        options["truncate_prompt_tokens"] = -1
    if score_type == pb.SCORE_TYPE_RAW:
        options["raw_scores"] = True
    elif score_type != pb.SCORE_TYPE_UNSPECIFIED:
        options["score_type"] = pb.ScoreType.Name(score_type).removeprefix("SCORE_TYPE_").lower()
    return options


def _ranking(dialect: Dialect, value: Any, request: Request, model: str) -> pb.RerankResponse:
    results = value if dialect is Dialect.TEI else value["results"]
    score = "score" if dialect is Dialect.TEI else "relevance_score"
    ranked = sorted(results, key=lambda result: -result[score])
    check_ranking([result["index"] for result in ranked], [result[score] for result in ranked], len(request.documents))
    response = pb.RerankResponse(model=model, results=[_result(result, result[score]) for result in ranked])
    if dialect is not Dialect.TEI:
        response.model = str(value.get("model") or model)
        usage = value.get("usage") or {}
        response.usage.prompt_tokens = int(usage.get("prompt_tokens") or usage.get("total_tokens") or 0)
        response.query_truncated = bool(value.get("query_truncated"))
        response.usage.windows = sum(result.windows for result in response.results)
    return response


def _result(value: dict[str, Any], score: float) -> pb.Result:
    result = pb.Result(
        index=value["index"],
        relevance_score=score,
        logit=score,
        windows=value.get("windows", 1),
        truncated=value.get("truncated", False),
    )
    if window := value.get("best_window"):
        result.best_window.CopyFrom(pb.Span(start=window["start"], end=window["end"]))
    return result


def _model(value: dict[str, Any]) -> pb.Model:
    fields = {name: value[name] for name in _MODEL_FIELDS if value.get(name)}
    source = str(value.get("owned_by") or "")
    return pb.Model(
        name=str(value["id"]),
        aliases=value.get("aliases") or (),
        source=source,
        ready=bool(value.get("ready", True)),  # other servers list the models that they serve
        state=_STATES.get(str(value.get("state")), pb.MODEL_STATE_UNSPECIFIED),
        **fields,
    )
