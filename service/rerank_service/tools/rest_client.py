"""A client for servers that speak JSON over HTTP, with the methods and messages of the typed client."""

from collections.abc import Sequence
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self

import httpx

from rerank.client import AsyncRerankClient
from rerank.v1 import rerank_pb2 as pb
from rerank_service.errors import InvalidRequest, OperatorError
from rerank_service.tools.http_answers import (
    NOT_SPOKEN_HERE,
    connected,
    json_of,
    kind,
    listed_models,
    message_of,
    parsed,
)
from rerank_service.tools.loadtest.dialects import Dialect, Route, body, check_ranking, routes
from rerank_service.tools.loadtest.target import CallFailed
from rerank_service.tools.loadtest.workload import Request
from rerank_service.tools.server_address import ServerAddress

_MODEL_FIELDS = ("max_tokens", "precision", "provider", "choice", "calibration", "verdict", "digest")


class RestCallFailed(OperatorError):
    """A call that a server over HTTP did not answer with a ranking."""

    def __init__(self, message: str, *, status: int = 0, code: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.server_reason = code
        """The server's own stable word for the error."""


class RestClient:
    """Calls a server by its URL. Without a path in the URL the usual ones are tried."""

    def __init__(self, url: str, *, api_key: str | None = None, timeout: float | None = None) -> None:
        """`timeout` is each call's deadline in seconds; without one the server's default holds."""
        self._url = url
        self._routes = routes(parsed(url).path, None)
        self._timeout = timeout
        self._http = connected(url, api_key, timeout)
        self._model: str | None = None

    async def __aenter__(self) -> Self:
        """Open the connections."""
        await self._http.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close them."""
        await self._http.__aexit__(kind, error, trace)

    async def models(self) -> list[pb.Model]:
        """Return the models that the server lists.

        Raises:
            RestCallFailed: it does not answer, or lists none.
        """
        try:
            listed = await listed_models(self._http)
            if not listed:
                answer = await self._http.get("/v1/models")
                raise self._failure(answer)
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error
        return [_model(one) for one in listed]

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
        """Rank texts.

        Raises:
            InvalidRequest: `top_n` is below 1.
            RestCallFailed: there is no ranking.
        """
        if top_n is not None and top_n < 1:
            raise InvalidRequest(f"top_n is {top_n}: give a whole number from 1 on", field="top_n")
        name = model or await self._first_model()
        options = _options(max_tokens_per_doc, too_long, score_type)
        heard: list[RestCallFailed] = []
        for route in self._routes:
            try:
                ranked = await self._rank(route, Request(query, tuple(documents)), name, options)
            except RestCallFailed as error:
                heard.append(error)
                if error.status not in NOT_SPOKEN_HERE or error.server_reason:
                    break
            else:
                self._routes = [route]
                del ranked.results[len(documents) if top_n is None else top_n :]
                return ranked
        # the last one but for a path that is not served: that one says what is wrong with the request
        raise next((one for one in reversed(heard) if one.status != HTTPStatus.NOT_FOUND), heard[-1])

    async def _first_model(self) -> str:
        if self._model is None:
            try:
                listed = await listed_models(self._http)
            except httpx.HTTPError as error:
                raise self._unreachable(error) from error
            self._model = str(listed[0]["id"]) if listed else ""
        return self._model

    async def _rank(self, route: Route, request: Request, model: str, options: dict[str, Any]) -> pb.RerankResponse:
        if route.dialect is Dialect.TEI and options.keys() - {"raw_scores"}:
            raise RestCallFailed(f"{self._url}{route.path} speaks TEI's JSON, which has no {', '.join(options)}")
        headers = {"x-request-timeout": str(self._timeout)} if self._timeout else {}
        try:
            content = body(route.dialect, request, model) | options
            answer = await self._http.post(route.path, json=content, headers=headers)
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error
        if not answer.is_success:
            raise self._failure(answer)
        try:
            ranked = _response(route.dialect, json_of(answer), request, model)
        except (CallFailed, KeyError, TypeError, ValueError, AttributeError) as error:
            raise RestCallFailed(f"{answer.request.url}: the answer is not a ranking: {error}") from error
        ranked.timing.total.FromTimedelta(answer.elapsed)
        return ranked

    def _failure(self, answer: httpx.Response) -> RestCallFailed:
        said = json_of(answer)
        error = said.get("error") if isinstance(said, dict) else None
        code = str(error.get("code") or "") if isinstance(error, dict) else ""
        message = f"{answer.request.url}: {kind(answer.status_code)}: {message_of(answer)}"
        return RestCallFailed(message, status=answer.status_code, code=code)

    def _unreachable(self, error: httpx.HTTPError) -> RestCallFailed:
        return RestCallFailed(f"{self._url}: no connection: {error or type(error).__name__}")


def client_of(
    server: ServerAddress, *, api_key: str | None = None, timeout: float | None = None
) -> AsyncRerankClient | RestClient:
    """Return the client for a server's protocol."""
    if server.protocol == "http":
        return RestClient(server.target, api_key=api_key, timeout=timeout)
    return AsyncRerankClient(server.target, api_key=api_key, timeout=timeout)


def _options(
    max_tokens_per_doc: int | None, too_long: pb.TooLong.ValueType, score_type: pb.ScoreType.ValueType
) -> dict[str, Any]:
    """Return the fields beside query, documents and model: only those that were asked for, as few servers have them."""
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


def _response(dialect: Dialect, answer: Any, request: Request, model: str) -> pb.RerankResponse:
    results = answer if dialect is Dialect.TEI else answer["results"]
    score = "score" if dialect is Dialect.TEI else "relevance_score"
    ranked = sorted(results, key=lambda one: -one[score])
    check_ranking([one["index"] for one in ranked], [one[score] for one in ranked], len(request.documents))
    response = pb.RerankResponse(model=model, results=[_result(one, one[score]) for one in ranked])
    if dialect is not Dialect.TEI:
        response.model = str(answer.get("model") or model)
        usage = answer.get("usage") or {}
        response.usage.prompt_tokens = int(usage.get("prompt_tokens") or usage.get("total_tokens") or 0)
        response.usage.windows = sum(result.windows for result in response.results)
    return response


def _result(one: dict[str, Any], score: float) -> pb.Result:
    result = pb.Result(
        index=one["index"],
        relevance_score=score,
        logit=score,
        windows=one.get("windows", 1),
        truncated=one.get("truncated", False),
    )
    if window := one.get("best_window"):
        result.best_window.CopyFrom(pb.Span(start=window["start"], end=window["end"]))
    return result


def _model(listed: dict[str, Any]) -> pb.Model:
    told = {name: listed[name] for name in _MODEL_FIELDS if listed.get(name)}
    source = str(listed.get("owned_by") or "")
    return pb.Model(name=str(listed["id"]), aliases=listed.get("aliases") or (), source=source, ready=True, **told)
