"""REST server: listens on a port and runs an application until it is stopped."""

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from rerank_service.api.address import listening_socket
from rerank_service.api.http.options import RestOptions


class _Server(uvicorn.Server):
    def capture_signals(self) -> nullcontext[None]:  # type: ignore[override]  # rerank_service/server.py handles signals
        return nullcontext()


class RestEdge:
    """The running server."""

    def __init__(self, server: _Server, serving: asyncio.Task[None], port: int) -> None:
        self._server = server
        self._serving = serving
        self.port = port

    async def stop(self, grace: float) -> None:
        """Accept no new connections, and wait until running requests end. After `grace` seconds, cancel them.

        A second call with 0 seconds cancels them at once.
        """
        # with a timeout of 0, uvicorn logs an error even if no request runs
        self._server.config.timeout_graceful_shutdown = math.ceil(grace) or int(not self._server.server_state.tasks)
        self._server.force_exit = self._server.should_exit and not grace
        self._server.should_exit = True
        await asyncio.shield(self._serving)


@asynccontextmanager
async def listening(app: ASGIApp, options: RestOptions) -> AsyncIterator[RestEdge]:
    """Listen while the block runs. At the end, cancel running requests.

    Raises:
        OSError: the address is in use.
    """
    config = uvicorn.Config(
        _TidyRequests(app),
        host=options.host,
        port=options.port,
        http="h11",  # unlike httptools, it limits the size of headers
        log_config=None,
        access_log=False,
        lifespan="off",
        server_header=False,
    )
    listener = listening_socket(options.host, options.port, flag="--rest-port")
    server = _Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    edge = RestEdge(server, serving, listener.getsockname()[1])
    try:
        yield edge
    finally:
        await edge.stop(0.0)


class _TidyRequests:
    """Serves `//v1/rerank` and `/v1/rerank/` as `/v1/rerank`: clients join base URLs and paths in different ways.

    Serves HEAD as GET: uvicorn sends no body to a HEAD request.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            tidy = "/" + "/".join(part for part in scope["path"].split("/") if part)
            method = "GET" if scope["method"] == "HEAD" else scope["method"]
            scope = {**scope, "method": method, "path": tidy, "raw_path": tidy.encode()}
        await self._app(scope, receive, send)
