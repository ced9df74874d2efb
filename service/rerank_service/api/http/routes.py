"""The REST edge: what its routes do. The paths are put together in rest_app.py, and listened on in rest_server.py."""

import asyncio
import math
import time
from collections.abc import Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import orjson
from fastapi import Request, Response
from starlette.requests import ClientDisconnect

from rerank_service.api.auth import Keys
from rerank_service.api.http.dialects import Answer, DecodedRequest, Dialect, Exchange, LookUp, ServerFacts
from rerank_service.api.http.dialects.unified import DIALECT as UNIFIED
from rerank_service.api.http.options import RestOptions
from rerank_service.api.request_context import RequestContext
from rerank_service.api.request_id import request_id_from
from rerank_service.errors import BodyTooLarge, InvalidRequest, NotReady, Overloaded, RequestError, excerpt
from rerank_service.models.registry import Registry
from rerank_service.observability.request_log import log_internal_error, log_refusal
from rerank_service.quantities import counted
from rerank_service.ranking.ranking import Ranking
from rerank_service.reranker import Reranker
from rerank_service.scheduling.deadline import Deadline

_STRANGERS_BYTES = 64 * 1024
_TIMEOUT = "X-Request-Timeout"
_CLIENT_GONE = 499
"""The status that nginx logs for a client that closed the connection; nobody reads it."""


class RerankRoutes:
    """What the routes do."""

    def __init__(self, reranker: Reranker, registry: Registry, keys: Keys, options: RestOptions) -> None:
        self._reranker = reranker
        self._registry = registry
        self._keys = keys
        self._options = options
        self.ready = False

    def facts(self) -> ServerFacts:
        """What is served at the moment."""
        models = self._registry.models()
        template = models[0].bundle.manifest.template if models else None
        return ServerFacts(
            [model.info for model in models],
            lambda name: self._registry.get(name).info,
            self._reranker.limits,
            takes_instruction=template is not None and template.takes_instruction,
            keys_asked=self._keys.asked,
            ready=self.ready,
        )

    async def rerank(self, request: Request, dialects: Sequence[Dialect]) -> Response:
        """Decode, rank, encode. An error is returned in the dialect of the body, one of those spoken on this path."""
        context = self._context(request)
        exchange = Exchange(context.id, context.call, created=int(time.time()))
        dialect = UNIFIED if UNIFIED in dialects else dialects[0]
        try:
            async with context.deadline.enforced():
                exchange = replace(exchange, body=_parsed(await self._body(request)))
            dialect = next((one for one in dialects if one.speaks(exchange.body)), dialect)
            # only now, since the shape of a refusal depends on the body's keys
            context = replace(context, caller=self._keys.check(request.headers))
            _check_timeout(request)
            ranking = await _unless_gone(request, self._rank(dialect.decode(exchange.body), context))
            return _response(dialect.encode(ranking, exchange), exchange)
        except ClientDisconnect:
            return Response(status_code=_CLIENT_GONE)
        except RequestError as error:
            response = refusal(error, dialect, exchange)
            log_refusal(error, context.log_fields(), status=response.status_code)
            return response
        except Exception:  # noqa: BLE001 - every request gets an answer
            log_internal_error(context.log_fields())
            return refusal(RequestError(f"internal error (request id {context.id})"), dialect, exchange)

    def _context(self, request: Request) -> RequestContext:
        return RequestContext(
            id=request_id_from(request.headers),
            protocol="rest",
            call=request.url.path,
            deadline=Deadline.after(_seconds(request) or self._options.default_timeout),
        )

    async def _rank(self, decoded: DecodedRequest, context: RequestContext) -> Ranking:
        return await self._reranker.rerank(
            decoded.request,
            decoded.documents,
            reader=decoded.reader,
            deadline=context.deadline,
            weight=context.caller.weight,
        )

    async def look_up(self, request: Request, look_up: LookUp) -> Response:
        """Tell what a client asks before it ranks."""
        exchange = Exchange(request_id_from(request.headers), request.url.path)
        try:
            if not look_up.public:
                self._keys.check(request.headers)
            return _response(look_up.answer(self.facts(), request.path_params.get("model", "")), exchange)
        except RequestError as error:
            return refusal(error, UNIFIED, exchange)

    async def live(self) -> Response:
        """200 as long as the process answers."""
        return _json(200, {"status": "live"})

    async def readiness(self) -> Response:
        """200 when requests should come here, else 503."""
        if self.ready:
            return _json(200, {"status": "ready"})
        return _json(503, {"status": "not ready"}, {"retry-after": "1"})

    async def _body(self, request: Request) -> bytes:
        """The body; of strangers, only as much of it as is worth reading for the shape of their refusal."""
        limit = self._options.max_body_bytes
        body = bytearray()
        async for part in request.stream():
            body += part
            if len(body) > _STRANGERS_BYTES:
                self._keys.check(request.headers)
            if len(body) > limit:
                raise BodyTooLarge(f"the body is over {counted(limit, 'byte')}", reason="body_too_large")
        return bytes(body)


def refusal(error: RequestError, dialect: Dialect, exchange: Exchange) -> Response:
    """An error's answer; one that tells to come back says when."""
    answer = dialect.encode_error(error, exchange)
    if isinstance(error, Overloaded | NotReady):
        # uvicorn sends names in lower case, which together 1.x needs
        answer = replace(answer, headers={**answer.headers, "retry-after": str(math.ceil(error.retry_after))})
    return _response(answer, exchange)


def _seconds(request: Request) -> float | None:
    """What the caller gives the request; None where nothing is said, or nothing that is a time."""
    with suppress(ValueError):
        if (seconds := float(request.headers.get(_TIMEOUT, ""))) > 0 and math.isfinite(seconds):
            return seconds
    return None


def _check_timeout(request: Request) -> None:
    sent = request.headers.get(_TIMEOUT)
    if sent is not None and _seconds(request) is None:
        raise InvalidRequest(
            f"{_TIMEOUT} must be a number of seconds above 0, not {excerpt(sent)!r}",
            field=_TIMEOUT,
            reason="out_of_range",
        )


def _parsed(body: bytes) -> Mapping[str, Any]:
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidRequest(f"the body is not valid JSON: {error}", reason="invalid_json") from error
    if not isinstance(parsed, dict):
        raise InvalidRequest("the body must be a JSON object", reason="wrong_type")
    return parsed


async def _unless_gone(request: Request, work: Coroutine[Any, Any, Ranking]) -> Ranking:
    """Do the work for as long as the client is there: HTTP has no other way to cancel.

    Raises:
        ClientDisconnect: it went away.
    """
    task = asyncio.create_task(work)
    gone = asyncio.create_task(_disconnected(request))
    try:
        await asyncio.wait((task, gone), return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientDisconnect
        return task.result()
    finally:
        gone.cancel()
        task.cancel()
        await asyncio.gather(task, gone, return_exceptions=True)


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _response(answer: Answer, exchange: Exchange) -> Response:
    return _json(answer.status, answer.content, {**answer.headers, "x-request-id": exchange.id})


def _json(status: int, content: Any, headers: Mapping[str, str] | None = None) -> Response:
    return Response(orjson.dumps(content), status, headers, media_type="application/json")
