"""REST server: listens on addresses and runs an application until it is stopped."""

import asyncio
import math
import re
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, asynccontextmanager

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from rerank_service.api.address import UNIX, TcpAddress, address
from rerank_service.api.http.api_docs import SENT_PATH
from rerank_service.api.http.counted_sockets import CountedListener
from rerank_service.api.http.last_responses import LastResponses
from rerank_service.api.http.limited_server import LimitedServer
from rerank_service.api.http.observed_app import ObservedApp
from rerank_service.api.http.options import RestOptions
from rerank_service.api.http.tls_context import CurrentContext, limit_read_buffers
from rerank_service.api.request_observation import Observing
from rerank_service.api.tcp_sockets import listening_sockets
from rerank_service.api.unix_sockets import listening_unix_socket, removed_at_end

_ORIGIN = re.compile(r"^https?://[^/]*", re.IGNORECASE)


class RestEdge:
    """The running server."""

    def __init__(
        self,
        server: LimitedServer,
        serving: asyncio.Task[None],
        sockets: Sequence[socket.socket],
        last_responses: LastResponses,
        *,
        scheme: str,
    ) -> None:
        self._server = server
        self._serving = serving
        self._last_responses = last_responses
        names = [listener.getsockname() for listener in sockets]
        self.port: int = next((name[1] for name in names if not isinstance(name, str)), 0)
        """Port of all TCP addresses; 0 without any."""
        self.urls = tuple(_url(name, scheme) for name in names)
        """Base URL of each TCP address, and `unix:FILE` of each Unix socket."""

    def drain(self) -> None:
        """Send `connection: close` with each response from now on: its client connects again, to another replica."""
        self._last_responses.begin()

    async def stop(self, grace: float) -> None:
        """Drain, stop as `LimitedServer.stop` says, and wait for the end."""
        self.drain()
        self._server.stop(grace)
        await asyncio.shield(self._serving)


@asynccontextmanager
async def listening(app: ASGIApp, options: RestOptions, observing: Observing | None = None) -> AsyncIterator[RestEdge]:
    """Listen while the block runs. At the end, cancel running requests. `observing` observes each request.

    Raises:
        SettingsInvalid: an address is in use or not allowed.
    """
    last_responses = LastResponses(_TidyRequests(ObservedApp(app, observing or Observing())))
    config = uvicorn.Config(
        last_responses,
        log_config=None,
        access_log=False,
        lifespan="off",
        ws="none",  # a WebSocket would leave LimitedConnection and its limits, where a library for it is installed
        server_header=False,
        proxy_headers=False,  # api/client_address.py reads them, and trusts the proxies of the setting only
        timeout_keep_alive=math.ceil(options.idle_timeout),
    )
    with ExitStack() as files:
        maximum = options.connections.max_connections
        sockets: list[socket.socket] = [CountedListener.of(each, maximum) for each in _sockets(options, files)]
        if options.tls is not None:
            limit_read_buffers()
        server = LimitedServer(config, options.connections, CurrentContext.of(options.tls) if options.tls else None)
        serving = asyncio.create_task(server.serve(sockets=sockets))
        edge = RestEdge(server, serving, sockets, last_responses, scheme="http" if options.tls is None else "https")
        try:
            yield edge
        finally:
            await edge.stop(0.0)


def _sockets(options: RestOptions, files: ExitStack) -> list[socket.socket]:
    """Listen on all addresses. `files` removes the files of Unix sockets."""
    addresses = options.addresses
    tcp = [each for each in addresses if isinstance(each, TcpAddress)]
    with ExitStack() as opened:
        listening = listening_sockets(tcp, options.port, flag=options.port_flag, host_flag=options.host_flag)
        sockets = [opened.enter_context(each) for each in listening]
        for path in (each.path("rest") for each in addresses if not isinstance(each, TcpAddress)):
            sockets.append(opened.enter_context(listening_unix_socket(path)))
            files.enter_context(removed_at_end(path))
        opened.pop_all()
    return sockets


def _url(name: tuple[str, int] | str, scheme: str) -> str:
    """Return the URL of a socket's name."""
    return f"{UNIX}{name}" if isinstance(name, str) else f"{scheme}://{address(name[0], name[1])}"


class _TidyRequests:
    """Serves `//v1/rerank` and `/v1/rerank/` as `/v1/rerank`: clients join base URLs and paths in different ways.

    Serves HEAD as GET: uvicorn sends no body to a HEAD request. Serves `http://HOST/v1/rerank`, the absolute form of a
    target, as `/v1/rerank` (RFC 9112, 3.2.2).
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            path = _ORIGIN.sub("", scope["path"])
            tidy = "/" + "/".join(part for part in path.split("/") if part)
            method = "GET" if scope["method"] == "HEAD" else scope["method"]
            scope = {**scope, "method": method, "path": tidy, "raw_path": tidy.encode(), SENT_PATH: path}
        await self._app(scope, receive, send)
