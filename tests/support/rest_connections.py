"""A REST server with limits of time and of connections, and raw connections to it."""

import asyncio
import itertools
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from rerank_service.api.http.app import build_app
from rerank_service.api.http.options import ConnectionLimits
from rerank_service.api.http.server import RestEdge, listening
from support.limits import rest_options
from support.network import CLOSED_SECONDS
from support.running import Served

RERANK_HEAD = b"POST /v2/rerank HTTP/1.1\r\nhost: x\r\ncontent-length: 100000\r\n\r\n"
LIVE = b"GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n"
PAGE = b"GET /openapi.json HTTP/1.1\r\nhost: x\r\n\r\n"
SHORT, LONG = 0.3, 1000.0
"""Limits that a test waits for, and that no test reaches, in seconds."""
PROGRESS = 1.0
"""Limit of clients that make progress, in seconds: at least ten times as long as their pauses, for busy machines."""


@asynccontextmanager
async def serving(
    edges: Served, *, connections: int = 100, header: float = LONG, progress: float = LONG, **options: Any
) -> AsyncIterator[RestEdge]:
    """Serve a reranker over REST. `header` and `progress` are limits of time in seconds; `options` are other ones."""
    limits = ConnectionLimits(connections, header, progress)
    changed = rest_options(connections=limits, **options)
    edges.routes._options = changed
    async with listening(build_app(edges.routes), changed) as edge:
        yield edge


async def sent(edge: RestEdge, content: bytes = b"", drip: bytes = b"") -> bytes:
    """Send bytes, then `drip` every 20 ms, and return the response when the server has closed the connection.

    A server that closes with unread bytes resets the connection. A socket still has the response then; a stream of
    asyncio would lose it.
    """
    loop = asyncio.get_running_loop()
    with socket.socket() as client:
        client.setblocking(False)
        await loop.sock_connect(client, ("127.0.0.1", edge.port))
        await loop.sock_sendall(client, content)
        dripping = asyncio.create_task(_drip(client, drip))
        try:
            return await asyncio.wait_for(_received(client), CLOSED_SECONDS)
        finally:
            dripping.cancel()
            await asyncio.wait([dripping])


async def _received(client: socket.socket) -> bytes:
    """Return all bytes until the end of the connection."""
    response = b""
    with suppress(ConnectionResetError):
        while part := await asyncio.get_running_loop().sock_recv(client, 65536):
            response += part
    return response


async def _drip(client: socket.socket, drip: bytes) -> None:
    with suppress(ConnectionError):
        for _ in itertools.count():
            await asyncio.sleep(0.02)
            await asyncio.get_running_loop().sock_sendall(client, drip)


async def kept_connection(edge: RestEdge) -> asyncio.StreamWriter:
    """Open a connection, send a request, and keep the connection open."""
    reader, writer = await asyncio.open_connection("127.0.0.1", edge.port)
    writer.write(LIVE)
    assert (await reader.readline()).startswith(b"HTTP/1.1 200")
    return writer


def small_window() -> socket.socket:
    """Return a socket whose kernel receives a few KiB that are not read."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    client.setblocking(False)
    return client


async def waiting_connection(edge: RestEdge) -> Any:
    """Return the only connection as soon as bytes wait in its buffers."""
    opened: Any = edge._server.server_state.connections
    while not opened or not next(iter(opened)).waiting_bytes():
        await asyncio.sleep(0.01)
    return next(iter(opened))


def check_progress(connection: Any, before: int) -> None:
    """Check that a client with progress since `before` is kept, and one with a byte less than it must read is not."""
    for left, closing in ((before, False), (connection._unread_bytes() + connection._read_progress - 1, True)):
        connection._stop_read_timer()
        connection._check_reader(left)
        assert connection._below.is_closing() is closing


async def until_closed(edge: RestEdge) -> None:
    """Wait until a connection is open, and then until the server has closed all of them."""
    opened = edge._server.server_state.connections
    while not opened:
        await asyncio.sleep(0.01)
    while opened:
        await asyncio.sleep(0.01)
