"""The REST edge: the dialects on their paths, models, health, OpenAPI at /docs."""

import asyncio
import math
import socket
import time
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from typing import Any

import orjson
import structlog
import uvicorn
from fastapi import FastAPI, Request, Response, Security
from fastapi.security import HTTPBearer
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send

import rerank_service
from rerank_service.api.address import address
from rerank_service.api.dialects import Dialect, Exchange, all_dialects
from rerank_service.api.dialects.unified import DIALECT as UNIFIED
from rerank_service.api.refusals import log_refusal
from rerank_service.api.request_id import request_id_from
from rerank_service.auth import Caller, Keys
from rerank_service.deadline import Deadline
from rerank_service.errors import (
    BodyTooLarge,
    InvalidRequest,
    NotReady,
    Overloaded,
    RerankError,
    UnknownRoute,
    excerpt,
)
from rerank_service.ranking import Ranking
from rerank_service.registry import ModelInfo, Registry
from rerank_service.reranker import Reranker

_log = structlog.get_logger()

_STRANGERS_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class RestOptions:
    """How the edge listens."""

    host: str = "127.0.0.1"
    port: int = 0
    max_body_bytes: int = 32 * 1024 * 1024
    default_timeout: float = 60.0


class RerankRoutes:
    """What the routes do."""

    def __init__(self, reranker: Reranker, registry: Registry, keys: Keys, options: RestOptions) -> None:
        self._reranker = reranker
        self._registry = registry
        self._keys = keys
        self._options = options
        self.dialects = all_dialects()
        self.ready = False

    async def rerank(self, request: Request) -> Response:
        """Decode, rank, encode; errors leave in the dialect of the body."""
        exchange = Exchange(request_id_from(request.headers), request.url.path, created=int(time.time()))
        dialect: Dialect = UNIFIED
        caller = Caller()
        try:
            deadline = Deadline.after(self._timeout(request))
            async with deadline.enforced():
                exchange = replace(exchange, body=_parsed(await self._body(request)))
            dialect = self._dialect(exchange)
            caller = self._keys.check(request.headers)  # not before: the shape of a refusal depends on the body's keys
            asked = dialect.decode(exchange.body)
            work = self._reranker.rerank(
                asked.request, asked.documents, reader=asked.reader, deadline=deadline, weight=caller.weight
            )
            ranking = await _unless_gone(request, work)
            return _json(200, dialect.encode(ranking, exchange), {"x-request-id": exchange.id})
        except ClientDisconnect:
            return Response(status_code=499)  # nginx's number for it; nobody reads it
        except RerankError as error:
            status, name = error.http_status, caller.name
            log_refusal(error, protocol="rest", call=exchange.path, request_id=exchange.id, caller=name, status=status)
            return _refusal(error, dialect, exchange)
        except Exception:  # noqa: BLE001 - nothing that a request does may be left without an answer
            _log.exception(
                "internal error", protocol="rest", path=exchange.path, request_id=exchange.id, caller=caller.name
            )
            return _refusal(RerankError(f"internal error (request id {exchange.id})"), dialect, exchange)

    async def models(self, request: Request) -> Response:
        """The models in OpenAI's list form."""
        try:
            self._keys.check(request.headers)
        except RerankError as error:
            return _refusal(error, UNIFIED, Exchange(request_id_from(request.headers), request.url.path))
        return _json(200, {"object": "list", "data": [_model(model.info) for model in self._registry.models()]})

    async def live(self) -> Response:
        """200 as long as the process answers."""
        return _json(200, {"status": "live"})

    async def readiness(self) -> Response:
        """200 when requests should come here, else 503."""
        return _json(200, {"status": "ready"}) if self.ready else _json(503, {"status": "not ready"})

    def _timeout(self, request: Request) -> float:
        sent = request.headers.get("x-request-timeout")
        if sent is None:
            return self._options.default_timeout
        with suppress(ValueError):
            if (seconds := float(sent)) > 0 and math.isfinite(seconds):
                return seconds
        raise InvalidRequest(
            f"X-Request-Timeout must be a number of seconds above 0, not {sent!r}",
            field="X-Request-Timeout",
            reason="out_of_range",
        )

    async def _body(self, request: Request) -> bytes:
        """The body; of strangers, only as much of it as is worth reading for the shape of their refusal."""
        limit = self._options.max_body_bytes
        body = bytearray()
        async for part in request.stream():
            body += part
            if len(body) > _STRANGERS_BYTES:
                self._keys.check(request.headers)
            if len(body) > limit:
                raise BodyTooLarge(f"the body is over {limit} bytes", reason="body_too_large")
        return bytes(body)

    def _dialect(self, exchange: Exchange) -> Dialect:
        here = [dialect for dialect in self.dialects if exchange.path in dialect.paths]
        return next((dialect for dialect in here if dialect.speaks(exchange.body)), here[0])


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


def _json(status: int, content: Any, headers: Mapping[str, str] | None = None) -> Response:
    return Response(orjson.dumps(content), status, headers, media_type="application/json")


def _refusal(error: RerankError, dialect: Dialect, exchange: Exchange) -> Response:
    headers = {"x-request-id": exchange.id}
    if isinstance(error, Overloaded | NotReady):
        # uvicorn sends names in lower case, which together 1.x needs
        headers["retry-after"] = str(math.ceil(error.retry_after))
    status, content = dialect.encode_error(error, exchange)
    return _json(status, content, headers)


def _model(info: ModelInfo) -> dict[str, Any]:
    return {
        "id": info.name,
        "object": "model",
        "created": 0,
        "owned_by": info.source,
        "aliases": list(info.aliases),
        "max_tokens": info.max_tokens,
        "precision": info.precision,
        "provider": info.provider,
        "choice": info.choice,
        "calibration": info.calibration,
        "verdict": info.verdict,
        "digest": info.digest,
    }


_SHOWN = ("/v1/rerank", "/v2/rerank")
"""Paths on the OpenAPI page; the others are where some client's base URL leads."""
_EXAMPLE = {"query": "capital of France", "documents": ["Rome is in Italy.", "Paris is in France."], "top_n": 1}


def build_app(routes: RerankRoutes) -> FastAPI:
    """The application: each dialect's paths, and what is beside them."""
    app = FastAPIOffline(
        title="rerank-service",
        version=rerank_service.__version__,
        redoc_url=None,
        description="Documents in order of relevance to a query. The same port speaks the JSON of "
        "Cohere v1 and v2, Together and those who copied them.",
    )
    for dialect in routes.dialects:
        for path in dialect.paths:
            app.add_api_route(
                path,
                routes.rerank,
                methods=["POST"],
                response_class=Response,
                include_in_schema=path in _SHOWN,
                summary="Rank documents",
                description="A deadline may be given in seconds by the header `X-Request-Timeout`, a name for the "
                "request by `X-Request-Id`, a key by `Authorization: Bearer KEY` or `X-Api-Key`.",
                tags=["rerank"],
                dependencies=[Security(HTTPBearer(auto_error=False))],  # shown there; checked in the dialect's shape
                openapi_extra=_request_body(dialect),
            )
    for path, endpoint, summary in (
        ("/v1/models", routes.models, "List the models"),
        ("/health/live", routes.live, "Whether the process answers"),
        ("/health/ready", routes.readiness, "Whether requests should come here"),
    ):
        app.add_api_route(path, endpoint, methods=["GET"], response_class=Response, summary=summary, tags=["server"])
    app.add_api_route("/", _to_docs, methods=["GET"], include_in_schema=False)

    @app.exception_handler(HTTPException)
    async def unknown_route(request: Request, error: HTTPException) -> Response:
        path = excerpt(request.url.path)
        refused = UnknownRoute(f"{request.method} {path}: {error.detail}", status=error.status_code)
        response = _refusal(refused, UNIFIED, Exchange(request_id_from(request.headers), path))
        response.headers.update(error.headers or {})
        return response

    return app


def _to_docs() -> Response:
    return RedirectResponse("/docs")


def _request_body(dialect: Dialect) -> dict[str, Any]:
    content = {"application/json": {"schema": dialect.schema.model_json_schema(), "example": _EXAMPLE}}
    return {"requestBody": {"required": True, "content": content}}


class _Server(uvicorn.Server):
    def capture_signals(self) -> nullcontext[None]:  # type: ignore[override]  # signals are server.py's
        return nullcontext()


class RestEdge:
    """The running server."""

    def __init__(self, server: _Server, serving: asyncio.Task[None], port: int) -> None:
        self._server = server
        self._serving = serving
        self.port = port

    async def stop(self, grace: float) -> None:
        """Take no more connections, and end when the requests that are here have ended, or the grace has. Can be
        called again, with nothing, to end at once."""
        self._server.config.timeout_graceful_shutdown = math.ceil(grace)
        self._server.force_exit = self._server.should_exit and not grace
        self._server.should_exit = True
        await asyncio.shield(self._serving)


@asynccontextmanager
async def listening(app: FastAPI, options: RestOptions) -> AsyncIterator[RestEdge]:
    """Listen while the block runs. On leaving, requests that are still here are cut off.

    Raises:
        OSError: the address is taken.
    """
    config = uvicorn.Config(
        _TidyPaths(app),
        host=options.host,
        port=options.port,
        http="h11",  # unlike httptools it bounds the size of headers
        log_config=None,
        access_log=False,
        lifespan="off",
        server_header=False,
    )
    listener = _listen(options)
    server = _Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    edge = RestEdge(server, serving, listener.getsockname()[1])
    try:
        yield edge
    finally:
        await edge.stop(0.0)


class _TidyPaths:
    """Serves `//v1/rerank` and `/v1/rerank/` as `/v1/rerank`: base URLs are joined in many ways."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            tidy = "/" + "/".join(part for part in scope["path"].split("/") if part)
            scope = {**scope, "path": tidy, "raw_path": tidy.encode()}
        await self._app(scope, receive, send)


def _listen(options: RestOptions) -> socket.socket:
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((options.host, options.port))
        listener.listen(2048)
    except OSError as error:
        listener.close()
        raise OSError(
            f"cannot listen on {address(options.host, options.port)}: {error.strerror}; choose another with --rest-port"
        ) from error
    return listener
