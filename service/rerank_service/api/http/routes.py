"""Routes of the REST server: rank, look up, health. api/http/app.py puts them on paths, api/http/server.py listens."""

import asyncio
import math
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from functools import cache, partial
from http import HTTPStatus
from typing import Any

import structlog
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from rerank_service.api.auth import Keys
from rerank_service.api.http.compression import CompressibleJson
from rerank_service.api.http.dialects.contract import Body, DecodedRequest, Dialect, Exchange, JsonResponse
from rerank_service.api.http.dialects.look_up import LookUp, ServerFacts
from rerank_service.api.http.dialects.unified import DIALECT as UNIFIED
from rerank_service.api.http.disconnects import until_disconnect
from rerank_service.api.http.json_parts import dump_json, is_large
from rerank_service.api.http.large_values import LargeBodies
from rerank_service.api.http.misspelled_fields import misspelled_fields, warnings_header
from rerank_service.api.http.observed_app import observation_of
from rerank_service.api.http.options import RestOptions
from rerank_service.api.http.request_body import BodyLimits, parse_body, read_body
from rerank_service.api.http.server_timing import server_timing
from rerank_service.api.ranking_headers import ranking_headers
from rerank_service.api.request_context import RequestContext, internal_error_message
from rerank_service.api.request_observation import RequestObservation
from rerank_service.error_text import excerpt
from rerank_service.errors import (
    BodyTooSlow,
    InvalidRequest,
    NotReady,
    RequestError,
    Unauthenticated,
    UnsupportedCoding,
)
from rerank_service.long_work import in_thread, parsing_turn
from rerank_service.models.registry import Registry
from rerank_service.models.served_model import ModelInfo
from rerank_service.ranking.ranking import Ranking
from rerank_service.reranker import Reranker
from rerank_service.scheduling.caller import ANYBODY, Caller
from rerank_service.scheduling.deadline import Deadline

_log = structlog.get_logger()

_TIMEOUT = "X-Request-Timeout"
_CLIENT_DISCONNECTED = 499
"""The status that nginx uses for a client that closed the connection. No client receives it."""


class RerankRoutes:
    """The routes of the REST server."""

    def __init__(self, reranker: Reranker, registry: Registry, keys: Keys, options: RestOptions) -> None:
        self._reranker = reranker
        self._registry = registry
        self._keys = keys
        self._options = options
        self._large_bodies = LargeBodies()
        self.ready = False
        """True if the server accepts requests. `Edges` sets it."""

    def facts(self, caller: Caller = ANYBODY) -> ServerFacts:
        """Return the current state and the limits of the server, with the models that the caller may use."""
        infos = self._registry.infos()
        return ServerFacts(
            models=[info for info in infos if caller.may_use(info.names)],
            find=lambda name: self._find(name, caller),
            limits=self._reranker.limits,
            takes_instruction=bool(infos and infos[0].takes_instruction),
            key_required=self._keys.required,
            ready=self.ready,
        )

    def _find(self, name: str, caller: Caller) -> ModelInfo:
        model = self._registry.find(name)
        caller.check_model(self._registry.names_of(model))
        return model.info

    async def rerank(self, request: Request, dialects: Sequence[Dialect]) -> Response:
        """Decode the body, rank its documents, and encode the ranking.

        `dialects` are those of the path. A response, also for an error, has the dialect of the body.
        """
        with ExitStack() as large:
            return await self._rerank(request, dialects, large)

    async def _rerank(self, request: Request, dialects: Sequence[Dialect], large: ExitStack) -> Response:
        """Rank. `large` frees a large body when this method has returned, since its frame uses the body."""
        observation, context = observation_of(request), self._context(request)
        exchange = Exchange(context.id, context.call, created=int(time.time()))
        dialect = _usual(dialects)  # until the keys of the body show the dialect
        try:
            async with context.deadline.enforced():
                body = await self._body(request, large)
            exchange = replace(exchange, body={**body, **_path_model(request)})
            dialect = next((candidate for candidate in dialects if candidate.matches(exchange.body)), dialect)
            observation.dialect = _name(dialect)
            # not earlier: the form of an error depends on the keys of the body
            context = replace(context, caller=self._keys.check(request.headers))
            observation.key = context.caller.name
            exchange = replace(exchange, warnings=_misspelled(dialect, exchange.body))
            _check_timeout(request)
            async with context.deadline.enforced():
                decoded = await in_thread(partial(dialect.decode, exchange.body), _items(exchange.body))
            observation.documents = len(decoded.documents)
            with context.caller.quota.request():
                ranking = await until_disconnect(request.receive, self._rank(decoded, context, observation))
            async with context.deadline.enforced():
                response = await in_thread(partial(_encoded, dialect, ranking, exchange), len(ranking))
            headers = ranking_headers(score_type=ranking.score_type, query_truncated=ranking.query_truncated)
            response.headers.update(headers | server_timing(ranking.timing))
            return response
        except ClientDisconnect:
            return Response(status_code=_CLIENT_DISCONNECTED)
        except asyncio.CancelledError:  # only the end of the grace period cancels a request
            stopping = NotReady("the server is stopping: send the request to another replica")
            observation.fail(stopping)
            return _failure(stopping, dialect, exchange)
        except Exception as error:  # noqa: BLE001 - every request gets a response
            observation.fail(error)
            return _failure(error, dialect, exchange)

    async def _body(self, request: Request, large: ExitStack) -> Body:
        """Return the parsed body. Closing `large` frees a large one, and lets the garbage collector run again."""
        raw = await read_body(request, self._limits(request))
        if not is_large(raw):
            return await parse_body(raw)
        large.enter_context(self._large_bodies.live())
        async with parsing_turn(len(raw)):
            body = await parse_body(raw)
        large.callback(self._large_bodies.free, body)
        return body

    def _context(self, request: Request) -> RequestContext:
        return RequestContext(
            id=observation_of(request).id,
            call=request.scope["path"],  # request.url depends on the header Host, which may be invalid
            deadline=Deadline.after(_timeout(request) or self._options.default_timeout),
        )

    def _limits(self, request: Request) -> BodyLimits:
        options = self._options
        return BodyLimits(
            options.max_body_bytes,
            options.connections.progress_timeout,
            cache(partial(self._keys.check, request.headers)),  # called for each part of a large body
        )

    async def _rank(self, decoded: DecodedRequest, context: RequestContext, observation: RequestObservation) -> Ranking:
        observed = observation.ranking(decoded.request, decoded.reader)
        ranking = await self._reranker.rerank(
            decoded.request,
            decoded.documents,
            reader=observed.reader,
            deadline=context.deadline,
            caller=context.caller,
            on_work=observed.add_work,
        )
        observed.add_results(ranking)
        return ranking

    async def look_up(self, request: Request, look_up: LookUp) -> Response:
        """Respond to a GET request."""
        context = self._context(request)
        exchange = Exchange(context.id, context.call)
        try:
            if not look_up.public:
                context = replace(context, caller=self._keys.check(request.headers))
                observation_of(request).key = context.caller.name
            return _response(
                look_up.respond(self.facts(context.caller), request.path_params.get("model", "")), exchange
            )
        except Exception as error:  # noqa: BLE001 - every request gets a response
            observation_of(request).fail(error)
            return _failure(error, UNIFIED, exchange)

    async def readiness(self, _request: Request) -> Response:
        """Return 200 if the server accepts requests, else 503."""
        if self.ready:
            return _json(200, {"status": "ready"})
        return _json(503, {"status": "not ready"}, {"retry-after": f"{NotReady.retry_after:.0f}"})


def _usual(dialects: Sequence[Dialect]) -> Dialect:
    """Return the dialect of a path for a body whose keys could not be read: that of `documents`, if there is one."""
    return next((dialect for dialect in dialects if dialect.matches({"documents": []})), dialects[0])


def _failure(error: Exception, dialect: Dialect, exchange: Exchange) -> Response:
    """Return the response for an error that ended a request."""
    if not isinstance(error, RequestError):
        error = RequestError(internal_error_message(exchange.id))
    return error_response(error, dialect, exchange)


def failure_response(request: Request, error: Exception) -> Response:
    """Note the error of a request that no dialect reads, and return its response in the unified dialect."""
    observation = observation_of(request)
    observation.fail(error)
    return _failure(error, UNIFIED, Exchange(observation.id, excerpt(request.scope["path"])))


def _encoded(dialect: Dialect, ranking: Ranking, exchange: Exchange) -> Response:
    return _response(dialect.encode(ranking, exchange), exchange)


def _items(body: Body) -> int:
    """Return how many documents a body has at most, in any dialect."""
    return max((len(value) for value in body.values() if isinstance(value, list)), default=0)


def _path_model(request: Request) -> dict[str, str]:
    """Return the field `model`, if the path names the model. It has precedence over a model in the body."""
    return {"model": request.path_params["model"]} if "model" in request.path_params else {}


def _misspelled(dialect: Dialect, body: Mapping[str, Any]) -> tuple[str, ...]:
    """Return warnings about fields that are probably misspelled, and log them: they have names, and no texts."""
    warnings = misspelled_fields(dialect.request_type, body)
    if warnings:
        _log.debug("misspelled fields", dialect=_name(dialect), warnings=warnings)
    return warnings


def _name(dialect: Dialect) -> str:
    """Return the name of a dialect for the log: that of its module."""
    return type(dialect).__module__.rpartition(".")[2]


def error_response(error: RequestError, dialect: Dialect, exchange: Exchange) -> Response:
    """Return the response for an error, with the headers that it has in every dialect."""
    response = dialect.encode_error(error, exchange)
    return _response(replace(response, headers={**response.headers, **_error_headers(error)}), exchange)


def _error_headers(error: RequestError) -> dict[str, str]:
    """Return the headers of an error. If a retry makes sense, `retry-after` has the seconds until then.

    If a retry of an error of the server does not make sense, `x-should-retry` is false: the SDKs that Stainless
    generates, such as those of Together and mixedbread, obey it, and repeat every other 5xx. If the coding of the body
    is not supported, `accept-encoding` has the supported ones.
    """
    headers = dict[str, str]()
    if isinstance(error, UnsupportedCoding):
        headers["accept-encoding"] = error.accepted
    if isinstance(error, Unauthenticated):  # RFC 9110, 11.6.1. A browser shows no dialog for this scheme
        headers["www-authenticate"] = "Bearer"
    if isinstance(error, BodyTooSlow):  # the rest of the body is not read
        headers["connection"] = "close"
    if error.retry_after is not None:
        # uvicorn sends header names in lower case, as together 1.x requires
        headers["retry-after"] = str(math.ceil(error.retry_after))
    elif error.http_status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        headers["x-should-retry"] = "false"
    return headers


def _timeout(request: Request) -> float | None:
    """Return the timeout in the header, in seconds: 0 if it is absent or empty, None if it is invalid."""
    sent = request.headers.get(_TIMEOUT, "").strip() or "0"
    with suppress(ValueError):
        if (seconds := float(sent)) >= 0 and math.isfinite(seconds):
            return seconds
    return None


def _check_timeout(request: Request) -> None:
    if _timeout(request) is None:
        sent = request.headers[_TIMEOUT]
        raise InvalidRequest(
            f"{_TIMEOUT} must be a number of seconds from 0 on, not {excerpt(sent)!r}",
            field=_TIMEOUT,
            reason="out_of_range",
        )


def _response(response: JsonResponse, exchange: Exchange) -> Response:
    headers = {**response.headers, **warnings_header(exchange.warnings), "x-request-id": exchange.id}
    return _json(response.status, response.content, headers)


def _json(status: int, content: Any, headers: Mapping[str, str] | None = None) -> Response:
    if status == HTTPStatus.NO_CONTENT:
        return Response(status_code=status, headers=headers)
    return CompressibleJson(dump_json(content), status, headers)
