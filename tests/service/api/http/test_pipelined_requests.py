"""Bytes that clients send after a request, before its response: pipelined requests, empty lines, garbage."""

import asyncio
import fcntl
import ssl
import sys
import termios
from pathlib import Path
from typing import Any

import pytest
import trustme
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from rerank_service.api.http.disconnects import until_disconnect
from rerank_service.api.http.server import RestEdge, listening
from rerank_service.api.tls.store import CertificateStore
from support.limits import rest_options
from support.network import CLOSED_SECONDS
from support.tls import write_pems

_POST = b"POST /work HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}"
_GET = b"GET /at-once HTTP/1.1\r\nhost: x\r\n\r\n"


class _Work:
    """An application. /at-once responds. Any other path responds after `go_on`, and ends with its client."""

    def __init__(self) -> None:
        self.begun, self.go_on, self.cancelled = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] != "/at-once":
            assert (await receive())["type"] == "http.request"
            self.begun.set()
            try:
                await until_disconnect(receive, self.go_on.wait())
            except ClientDisconnect:
                self.cancelled.set()
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})


@pytest.mark.parametrize(
    ("sent", "later"),
    [
        (_POST, b""),
        (_POST + b"\r\n", b""),
        (_POST + _GET, b""),
        (_POST, _GET),
        (_POST + _GET, _GET * 100),
        (_GET + _POST + _GET, b""),
    ],
    ids=["nothing", "line break", "request", "later request", "many requests", "request before"],
)
async def test_pipelined_bytes_do_not_hide_the_end_of_the_connection(sent: bytes, later: bytes) -> None:
    """uvicorn stops reading when bytes of a next request wait."""
    work = _Work()
    async with listening(work, rest_options()) as edge:
        _, writer = await asyncio.open_connection("127.0.0.1", edge.port)
        writer.write(sent)
        async with asyncio.timeout(CLOSED_SECONDS):
            await work.begun.wait()
            writer.write(later)
            writer.close()
            await work.cancelled.wait()


async def test_pipelined_bytes_do_not_hide_the_end_of_tls(tmp_path: Path) -> None:
    """Its transport has a pause of its own."""
    pems = write_pems(tmp_path, trustme.CA())
    trusted = ssl.create_default_context(cafile=pems.ca)
    work = _Work()
    async with listening(work, rest_options(tls=CertificateStore(pems.files()))) as edge:
        _, writer = await asyncio.open_connection("localhost", edge.port, ssl=trusted)
        writer.write(_POST)
        async with asyncio.timeout(CLOSED_SECONDS):
            await work.begun.wait()
            writer.write(_GET)
            writer.close()
            await work.cancelled.wait()


async def test_few_bytes_of_next_requests_are_kept() -> None:
    """The rest waits in the kernel."""
    work = _Work()
    async with listening(work, rest_options()) as edge:
        _, writer = await asyncio.open_connection("127.0.0.1", edge.port)
        writer.write(_POST + _GET * 20_000)
        await work.begun.wait()
        connection = _only_connection(edge)
        while connection.transport.is_reading():
            await asyncio.sleep(0)
        assert 32 * 1024 <= len(connection.conn.trailing_data[0]) < 64 * 1024
        writer.transport.abort()


def _only_connection(edge: RestEdge) -> Any:
    (connection,) = edge._server.server_state.connections
    return connection


@pytest.mark.parametrize(
    ("sent", "later", "responses"),
    [
        (_POST.replace(b"host: x", b"host: x\r\nconnection: close"), b"\r\n", 1),
        (_POST.replace(b"host: x", b"host: x\r\nconnection: close"), _GET, 1),
        (_POST.replace(b"1.1", b"1.0"), b"\r\n", 1),
        (_POST.replace(b"1.1", b"1.0"), b"not HTTP", 1),
        (_POST, b"\r\n", 1),
        (_POST + b"\r\n\n", _GET, 2),
        (b"\r\n" + _POST, b"", 1),
        (_POST, b"\r\n\r\n" + _GET, 2),
    ],
    ids=[
        "close, line",
        "close, request",
        "HTTP/1.0, line",
        "HTTP/1.0, garbage",
        "line",
        "lines at once, request",
        "line before",
        "lines, request",
    ],
)
async def test_bytes_that_no_request_can_have_are_ignored(sent: bytes, later: bytes, responses: int) -> None:
    """Empty lines before a request, and all bytes after the last one (RFC 9112, sections 2.2 and 9.6)."""
    work = _Work()
    async with listening(work, rest_options()) as edge, asyncio.timeout(CLOSED_SECONDS):
        reader, writer = await asyncio.open_connection("127.0.0.1", edge.port)
        writer.write(sent)
        await work.begun.wait()
        writer.write(later)
        [connection] = edge._server.server_state.connections
        await _until_read(connection)
        work.go_on.set()
        for _ in range(responses):
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 204")
        writer.close()


async def _until_read(connection: Any) -> None:
    """Wait until the server has read all that was sent before."""
    descriptor = connection.transport.get_extra_info("socket").fileno()
    while True:
        await asyncio.sleep(0.01)
        if not int.from_bytes(fcntl.ioctl(descriptor, termios.FIONREAD, bytes(4)), sys.byteorder):
            return
