"""REST clients that read slowly over TLS, whose transport keeps bytes of its own."""

import asyncio
import socket
import ssl
from pathlib import Path
from typing import Any

import pytest
import trustme

from rerank_service.api.http import limited_server, silent_clients
from rerank_service.api.http.server import RestEdge
from rerank_service.api.tls.store import CertificateStore
from support.rest_connections import (
    LIVE,
    PAGE,
    SHORT,
    check_progress,
    serving,
    small_window,
    until_closed,
    waiting_connection,
)
from support.running import Served
from support.tls import Pems, write_pems


@pytest.mark.parametrize("header", [b"", b"connection: close\r\n"], ids=["open", "closed"])
async def test_bytes_below_tls_are_progress(edges: Served, tmp_path: Path, header: bytes) -> None:
    """A response is written at once. It waits encrypted in the transport below that of TLS, which has none of it."""
    pems = write_pems(tmp_path / "tls", trustme.CA())
    async with serving(edges, tls=CertificateStore(pems.files())) as edge:
        with await _tls_client(edge, pems) as client:
            client.send(PAGE[:-2] + header + b"\r\n")
            connection = await waiting_connection(edge)
            while not edge._server.server_state.total_requests:
                await asyncio.sleep(0.01)
            assert connection._read_timer is not None
            before = connection._unread_bytes()
            while connection._unread_bytes() > before - connection._read_progress:
                await asyncio.to_thread(client.recv, 1000)
            check_progress(connection, before)


async def test_each_response_over_tls_has_a_timer_of_its_own(edges: Served, tmp_path: Path) -> None:
    """That of the first one would compare the unread bytes of the second one with those of the first."""
    pems = write_pems(tmp_path / "tls", trustme.CA())
    async with serving(edges, tls=CertificateStore(pems.files())) as edge:
        with await _tls_client(edge, pems) as client:
            client.send(PAGE)
            connection = await waiting_connection(edge)
            while not edge._server.server_state.total_requests:
                await asyncio.sleep(0.01)
            first = connection._read_timer
            while connection.waiting_bytes():
                await asyncio.to_thread(client.recv, 65536)
            client.send(PAGE)
            while edge._server.server_state.total_requests < 2:
                await asyncio.sleep(0.01)
            await waiting_connection(edge)
            assert first is not None
            assert first.cancelled()
            assert connection._read_timer is not None


async def test_response_is_read_after_the_end_of_tls(
    edges: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """asyncio would reset the connection 30 s after the response was written, also if the client reads steadily."""
    monkeypatch.setattr("asyncio.constants.SSL_SHUTDOWN_TIMEOUT", SHORT)
    pems = write_pems(tmp_path / "tls", trustme.CA())
    async with serving(edges, tls=CertificateStore(pems.files())) as edge:
        with await _tls_client(edge, pems) as client:
            client.send(PAGE[:-2] + b"connection: close\r\n\r\n")
            connection = await waiting_connection(edge)
            while not connection.transport.is_closing():
                await asyncio.sleep(0.01)
            await asyncio.sleep(2 * SHORT)
            response = await asyncio.to_thread(_until_end, client)
    head, _, body = response.partition(b"\r\n\r\n")
    assert b"content-length: %d\r\n" % len(body) in head.lower()


async def test_silent_end_of_tls_is_not_awaited(edges: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A blocking client that keeps the connection answers nothing. The connection counts for the maximum until then."""
    monkeypatch.setattr(limited_server, "_TICK_SECONDS", 0.01)
    monkeypatch.setattr(silent_clients, "_ANSWER_SECONDS", 0.0)
    pems = write_pems(tmp_path / "tls", trustme.CA())
    async with serving(edges, tls=CertificateStore(pems.files())) as edge:
        with await _tls_client(edge, pems) as client:
            client.send(LIVE[:-2] + b"connection: close\r\n\r\n")
            await until_closed(edge)
            assert (await asyncio.to_thread(_until_end, client)).startswith(b"HTTP/1.1 200")


async def _tls_client(edge: RestEdge, pems: Pems) -> ssl.SSLSocket:
    """Connect with small buffers of both kernels, and with nothing that reads by itself."""
    plain = small_window()
    plain.setblocking(True)
    plain.connect(("127.0.0.1", edge.port))
    context = ssl.create_default_context(cafile=pems.ca)
    client = await asyncio.to_thread(context.wrap_socket, plain, server_hostname="localhost")
    while not edge._server.server_state.connections:
        await asyncio.sleep(0.01)
    connection: Any = next(iter(edge._server.server_state.connections))
    connection.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2048)
    return client


def _until_end(client: ssl.SSLSocket) -> bytes:
    return b"".join(iter(lambda: client.recv(65536), b""))
