"""REST clients that read slowly, on real sockets without TLS."""

import asyncio
from typing import Any

import pytest

from rerank_service.api.http.connection import LimitedConnection
from rerank_service.api.http.options import MIN_PROGRESS_BYTES
from support.network import server_state
from support.rest_connections import (
    LONG,
    PAGE,
    PROGRESS,
    SHORT,
    check_progress,
    kept_connection,
    serving,
    small_window,
    until_closed,
    waiting_connection,
)
from support.running import Served


async def test_reader_that_does_not_read_is_ended(edges: Served) -> None:
    """Pipelined requests fill the buffers of the kernel, and then the server waits. A reset frees its memory."""
    async with serving(edges, progress=SHORT, idle_timeout=LONG) as edge:
        reader, writer = await asyncio.open_connection("127.0.0.1", edge.port, limit=1024)
        reader._transport.pause_reading()  # type: ignore[attr-defined]
        asking = asyncio.create_task(_ask_forever(writer))
        await until_closed(edge)
        asking.cancel()
        writer.transport.abort()


async def _ask_forever(writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            writer.write(PAGE)
            await writer.drain()
            await asyncio.sleep(0)
    except ConnectionError:
        pass


@pytest.mark.parametrize("header", [b"", b"connection: close\r\n"], ids=["open", "closed"])
async def test_unread_response_in_the_kernel_is_reset(edges: Served, header: bytes) -> None:
    """Also if the server has closed the connection. Without a limit, the kernel would keep it without end."""
    async with serving(edges, progress=SHORT, idle_timeout=LONG) as edge:
        with small_window() as client:
            await asyncio.get_running_loop().sock_connect(client, ("127.0.0.1", edge.port))
            client.send(PAGE[:-2] + header + b"\r\n")
            while not edge._server.server_state.total_requests:
                await asyncio.sleep(0.01)
            while server_state(edge.port, client.getsockname()[1]) is not None:
                await asyncio.sleep(0.01)


async def test_bytes_that_the_kernel_sends_are_progress(edges: Served) -> None:
    """The buffer of asyncio shrinks in large steps only. A slow reader would seem to read nothing."""
    async with serving(edges) as edge:
        loop = asyncio.get_running_loop()
        with small_window() as client:
            await loop.sock_connect(client, ("127.0.0.1", edge.port))
            await loop.sock_sendall(client, PAGE * 100)
            connection = await waiting_connection(edge)
            waiting, before = connection.waiting_bytes(), connection._unread_bytes()
            connection._read_progress = MIN_PROGRESS_BYTES  # as for a response of up to 20 KiB
            while connection._unread_bytes() > before - MIN_PROGRESS_BYTES:
                await loop.sock_recv(client, 100)
            assert connection.waiting_bytes() == waiting
            check_progress(connection, before)


@pytest.mark.parametrize(("unread", "required"), [(5_000, 1024), (5_000_000, 250_000)])
async def test_large_response_is_read_in_20_periods(
    edges: Served, monkeypatch: pytest.MonkeyPatch, unread: int, required: int
) -> None:
    """1 KiB in 30 s would keep a response of 5 MB for 40 hours, while it counts for no limit."""
    left = unread
    monkeypatch.setattr(LimitedConnection, "waiting_bytes", lambda _connection: left)
    monkeypatch.setattr(LimitedConnection, "_unread_bytes", lambda _connection: left)
    async with serving(edges) as edge:
        writer = await kept_connection(edge)
        connection: Any = next(iter(edge._server.server_state.connections))
        connection.pause_writing()
        left -= required
        connection._read_timer.cancel()
        connection._check_reader(unread)
        assert not connection.transport.is_closing()
        left -= required - 1
        connection._read_timer.cancel()
        connection._check_reader(unread - required)
        assert connection.transport.is_closing()
        writer.close()


async def test_slow_reader_with_progress_gets_its_response(edges: Served) -> None:
    """It reads a part more often than the limit."""
    async with serving(edges, progress=PROGRESS) as edge:
        reader, writer = await asyncio.open_connection("127.0.0.1", edge.port, limit=1024)
        wanted = 20
        writer.write(PAGE * wanted)
        received = b""
        while received.count(b"HTTP/1.1 200") < wanted:
            await asyncio.sleep(PROGRESS / 25)
            received += await reader.read(100_000)
        writer.close()
