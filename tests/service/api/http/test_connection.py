"""REST clients that send or read slowly, and the number of connections, on real sockets.

A test waits until the server closes a connection. The limits of these tests are fractions of a second.
"""

import asyncio
import itertools
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import h11
import orjson
import pytest
import structlog
import trustme

from rerank_service.api.http import limited_server, silent_clients
from rerank_service.api.http.app import build_app
from rerank_service.api.http.connection import LimitedConnection
from rerank_service.api.http.options import MIN_PROGRESS_BYTES, ConnectionLimits
from rerank_service.api.http.server import RestEdge, listening
from rerank_service.api.tls.store import CertificateStore
from support.limits import rest_options
from support.network import CLOSED_SECONDS, server_state
from support.running import Served
from support.tls import Pems, write_pems

_HEAD = b"POST /v2/rerank HTTP/1.1\r\nhost: x\r\ncontent-length: 100000\r\n\r\n"
_LIVE = b"GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n"
_PAGE = b"GET /openapi.json HTTP/1.1\r\nhost: x\r\n\r\n"
_SHORT, _LONG = 0.3, 1000.0
_PROGRESS = 1.0
"""Limit of clients that make progress. It is at least ten times as long as their pauses, for busy machines."""


@asynccontextmanager
async def _serving(
    edges: Served, *, connections: int = 100, header: float = _LONG, progress: float = _LONG, **options: Any
) -> AsyncIterator[RestEdge]:
    limits = ConnectionLimits(connections, header, progress)
    changed = rest_options(connections=limits, **options)
    edges.routes._options = changed
    async with listening(build_app(edges.routes), changed) as edge:
        yield edge


async def _sent(edge: RestEdge, content: bytes = b"", drip: bytes = b"") -> bytes:
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


@pytest.mark.parametrize(
    ("content", "drip"),
    [(b"", b""), (_LIVE[:10], b""), (_LIVE[:30], b""), (b"GET /", b"a"), (_LIVE[:-2] + b"a: ", b"a")],
    ids=["silent", "half request line", "half header", "slow request line", "slow header"],
)
async def test_slow_header_is_ended(edges: Served, content: bytes, drip: bytes) -> None:
    """More bytes do not extend the time."""
    async with _serving(edges, header=_SHORT) as edge:
        assert await _sent(edge, content, drip) == b""


@pytest.mark.parametrize("drip", [b"", b"a"], ids=["half header", "slow header"])
async def test_slow_header_of_a_later_request_is_ended(edges: Served, drip: bytes) -> None:
    """The first byte ends uvicorn's idle timeout."""
    async with _serving(edges, header=_SHORT, idle_timeout=_LONG) as edge:
        response = await _sent(edge, _LIVE + b"GET /a", drip)
    assert response.startswith(b"HTTP/1.1 200")
    assert response.count(b"HTTP/1.1") == 1


@pytest.mark.parametrize(
    ("content", "drip"), [(b"", b""), (b'{"query": ', b""), (b"", b"a")], ids=["no body", "half body", "slow body"]
)
async def test_slow_body_gets_status_408(edges: Served, content: bytes, drip: bytes) -> None:
    """One byte per second is no progress. The connection is closed, since the rest of the body is not read."""
    async with _serving(edges, progress=_SHORT) as edge:
        response = await _sent(edge, _HEAD + content, drip)
    head, _, body = response.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 408")
    assert b"\r\nconnection: close" in head
    assert b"Less than 1024 bytes of the body arrived in 0.3 s" in body
    assert edges.core.idle()


async def test_body_with_progress_is_accepted(edges: Served) -> None:
    """As a whole, it takes longer than the limit for 1 KiB."""
    body = orjson.dumps({"query": "0", "documents": ["1" * 100] * 100})
    parts = [body[start : start + 1024] for start in range(0, len(body), 1024)]
    assert len(parts) > 10
    async with _serving(edges, progress=_PROGRESS) as edge:
        reader, writer = await asyncio.open_connection("127.0.0.1", edge.port)
        writer.write(_HEAD.replace(b"100000", str(len(body)).encode()))
        for part in parts:
            await asyncio.sleep(_PROGRESS / 10)
            writer.write(part)
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        writer.close()


@pytest.mark.parametrize("drip", [b"", b"a"], ids=["half body", "slow body"])
async def test_body_after_the_response_is_ended(edges: Served, drip: bytes) -> None:
    """A path that reads no body responds at once."""
    async with _serving(edges, progress=_SHORT, idle_timeout=_LONG) as edge:
        response = await _sent(edge, _HEAD.replace(b"/v2/rerank", b"/no/such/path"), drip)
    assert response.startswith(b"HTTP/1.1 404")


async def test_connection_whose_body_ends_after_the_response_is_idle(edges: Served) -> None:
    """It has the time of an idle connection, not that of a slow body or of a slow header."""
    head = _HEAD.replace(b"/v2/rerank", b"/no/such/path").replace(b"100000", b"2")
    async with _serving(edges, header=_SHORT, progress=_SHORT, idle_timeout=_LONG) as edge:
        reader, writer = await asyncio.open_connection("127.0.0.1", edge.port)
        writer.write(head + b"{")
        response = await reader.readuntil(b"\r\n\r\n")
        assert response.startswith(b"HTTP/1.1 404")
        writer.write(b"}")
        await asyncio.sleep(2 * _SHORT)
        writer.write(_LIVE)
        assert b"HTTP/1.1 200" in await reader.readuntil(b"HTTP/1.1 200")
        writer.close()


async def test_reader_that_does_not_read_is_ended(edges: Served) -> None:
    """Pipelined requests fill the buffers of the kernel, and then the server waits. A reset frees its memory."""
    async with _serving(edges, progress=_SHORT, idle_timeout=_LONG) as edge:
        reader, writer = await asyncio.open_connection("127.0.0.1", edge.port, limit=1024)
        reader._transport.pause_reading()  # type: ignore[attr-defined]
        asking = asyncio.create_task(_ask_forever(writer))
        await _until_closed(edge)
        asking.cancel()
        writer.transport.abort()


@pytest.mark.parametrize("header", [b"", b"connection: close\r\n"], ids=["open", "closed"])
async def test_unread_response_in_the_kernel_is_reset(edges: Served, header: bytes) -> None:
    """Also if the server has closed the connection. Without a limit, the kernel would keep it without end."""
    async with _serving(edges, progress=_SHORT, idle_timeout=_LONG) as edge:
        with _small_window() as client:
            await asyncio.get_running_loop().sock_connect(client, ("127.0.0.1", edge.port))
            client.send(_PAGE[:-2] + header + b"\r\n")
            while not edge._server.server_state.total_requests:
                await asyncio.sleep(0.01)
            while server_state(edge.port, client.getsockname()[1]) is not None:
                await asyncio.sleep(0.01)


def _small_window() -> socket.socket:
    """Return a socket whose kernel receives a few KiB that are not read."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    client.setblocking(False)
    return client


async def test_bytes_that_the_kernel_sends_are_progress(edges: Served) -> None:
    """The buffer of asyncio shrinks in large steps only. A slow reader would seem to read nothing."""
    async with _serving(edges) as edge:
        loop = asyncio.get_running_loop()
        with _small_window() as client:
            await loop.sock_connect(client, ("127.0.0.1", edge.port))
            await loop.sock_sendall(client, _PAGE * 100)
            connection = await _waiting_connection(edge)
            waiting, before = connection.waiting_bytes(), connection._unread_bytes()
            connection._read_progress = MIN_PROGRESS_BYTES  # as for a response of up to 20 KiB
            while connection._unread_bytes() > before - MIN_PROGRESS_BYTES:
                await loop.sock_recv(client, 100)
            assert connection.waiting_bytes() == waiting
            _check_progress(connection, before)


async def _waiting_connection(edge: RestEdge) -> Any:
    """Return the only connection as soon as bytes wait in its buffers."""
    opened: Any = edge._server.server_state.connections
    while not opened or not next(iter(opened)).waiting_bytes():
        await asyncio.sleep(0.01)
    return next(iter(opened))


def _check_progress(connection: Any, before: int) -> None:
    """Check that a client with progress since `before` is kept, and one with a byte less than it must read is not."""
    for left, closing in ((before, False), (connection._unread_bytes() + connection._read_progress - 1, True)):
        connection._stop_read_timer()
        connection._check_reader(left)
        assert connection._below.is_closing() is closing


@pytest.mark.parametrize("header", [b"", b"connection: close\r\n"], ids=["open", "closed"])
async def test_bytes_below_tls_are_progress(edges: Served, tmp_path: Path, header: bytes) -> None:
    """A response is written at once. It waits encrypted in the transport below that of TLS, which has none of it."""
    pems = write_pems(tmp_path / "tls", trustme.CA())
    async with _serving(edges, tls=CertificateStore(pems.files())) as edge:
        with await _tls_client(edge, pems) as client:
            client.send(_PAGE[:-2] + header + b"\r\n")
            connection = await _waiting_connection(edge)
            while not edge._server.server_state.total_requests:
                await asyncio.sleep(0.01)
            assert connection._read_timer is not None
            before = connection._unread_bytes()
            while connection._unread_bytes() > before - connection._read_progress:
                await asyncio.to_thread(client.recv, 1000)
            _check_progress(connection, before)


async def test_each_response_over_tls_has_a_timer_of_its_own(edges: Served, tmp_path: Path) -> None:
    """That of the first one would compare the unread bytes of the second one with those of the first."""
    pems = write_pems(tmp_path / "tls", trustme.CA())
    async with _serving(edges, tls=CertificateStore(pems.files())) as edge:
        with await _tls_client(edge, pems) as client:
            client.send(_PAGE)
            connection = await _waiting_connection(edge)
            while not edge._server.server_state.total_requests:
                await asyncio.sleep(0.01)
            first = connection._read_timer
            while connection.waiting_bytes():
                await asyncio.to_thread(client.recv, 65536)
            client.send(_PAGE)
            while edge._server.server_state.total_requests < 2:
                await asyncio.sleep(0.01)
            await _waiting_connection(edge)
            assert first is not None
            assert first.cancelled()
            assert connection._read_timer is not None


async def test_response_is_read_after_the_end_of_tls(
    edges: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """asyncio would reset the connection 30 s after the response was written, also if the client reads steadily."""
    monkeypatch.setattr("asyncio.constants.SSL_SHUTDOWN_TIMEOUT", _SHORT)
    pems = write_pems(tmp_path / "tls", trustme.CA())
    async with _serving(edges, tls=CertificateStore(pems.files())) as edge:
        with await _tls_client(edge, pems) as client:
            client.send(_PAGE[:-2] + b"connection: close\r\n\r\n")
            connection = await _waiting_connection(edge)
            while not connection.transport.is_closing():
                await asyncio.sleep(0.01)
            await asyncio.sleep(2 * _SHORT)
            response = await asyncio.to_thread(_until_end, client)
    head, _, body = response.partition(b"\r\n\r\n")
    assert b"content-length: %d\r\n" % len(body) in head.lower()


async def test_silent_end_of_tls_is_not_awaited(edges: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A blocking client that keeps the connection answers nothing. The connection counts for the maximum until then."""
    monkeypatch.setattr(limited_server, "_TICK_SECONDS", 0.01)
    monkeypatch.setattr(silent_clients, "_ANSWER_SECONDS", 0.0)
    pems = write_pems(tmp_path / "tls", trustme.CA())
    async with _serving(edges, tls=CertificateStore(pems.files())) as edge:
        with await _tls_client(edge, pems) as client:
            client.send(_LIVE[:-2] + b"connection: close\r\n\r\n")
            await _until_closed(edge)
            assert (await asyncio.to_thread(_until_end, client)).startswith(b"HTTP/1.1 200")


async def _tls_client(edge: RestEdge, pems: Pems) -> ssl.SSLSocket:
    """Connect with small buffers of both kernels, and with nothing that reads by itself."""
    plain = _small_window()
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


@pytest.mark.parametrize(("unread", "required"), [(5_000, 1024), (5_000_000, 250_000)])
async def test_large_response_is_read_in_20_periods(
    edges: Served, monkeypatch: pytest.MonkeyPatch, unread: int, required: int
) -> None:
    """1 KiB in 30 s would keep a response of 5 MB for 40 hours, while it counts for no limit."""
    left = unread
    monkeypatch.setattr(LimitedConnection, "waiting_bytes", lambda _connection: left)
    monkeypatch.setattr(LimitedConnection, "_unread_bytes", lambda _connection: left)
    async with _serving(edges) as edge:
        writer = await _kept(edge)
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


async def _ask_forever(writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            writer.write(_PAGE)
            await writer.drain()
            await asyncio.sleep(0)
    except ConnectionError:
        pass


async def _until_closed(edge: RestEdge) -> None:
    opened = edge._server.server_state.connections
    while not opened:
        await asyncio.sleep(0.01)
    while opened:
        await asyncio.sleep(0.01)


async def test_slow_reader_with_progress_gets_its_response(edges: Served) -> None:
    """It reads a part more often than the limit."""
    async with _serving(edges, progress=_PROGRESS) as edge:
        reader, writer = await asyncio.open_connection("127.0.0.1", edge.port, limit=1024)
        wanted = 20
        writer.write(_PAGE * wanted)
        received = b""
        while received.count(b"HTTP/1.1 200") < wanted:
            await asyncio.sleep(_PROGRESS / 25)
            received += await reader.read(100_000)
        writer.close()


async def test_connections_above_the_maximum_are_closed(edges: Served) -> None:
    """At once, and only until another one ends. The log has one line."""
    async with _serving(edges, connections=2) as edge:
        kept = [await _kept(edge) for _ in range(2)]
        with structlog.testing.capture_logs() as logged:
            for _ in range(3):
                assert await _sent(edge) == b""
        assert [(entry["event"], entry["max_connections"]) for entry in logged] == [("too many connections", 2)]
        kept.pop().close()
        while len(edge._server.server_state.connections) > 1:
            await asyncio.sleep(0)
        kept.append(await _kept(edge))
        for writer in kept:
            writer.close()


async def test_unfinished_tls_handshakes_count_as_connections(edges: Served, tmp_path: Path) -> None:
    """Otherwise a stranger could open more of them than there are descriptors. Handshakes that fail stop counting."""
    pems = write_pems(tmp_path / "tls", trustme.CA())
    async with _serving(edges, connections=2, tls=CertificateStore(pems.files())) as edge:
        silent = [await asyncio.open_connection("127.0.0.1", edge.port) for _ in range(2)]
        assert await _sent(edge) == b""
        silent[0][1].write(b"GET / HTTP/1.1\r\n\r\n")
        await silent[0][0].read()
        for _, writer in silent:
            writer.close()
        context = ssl.create_default_context(cafile=pems.ca)
        for _ in range(5):  # each takes the place of the one before
            reader, writer = await _until_accepted(edge, context)
            writer.write(_LIVE)
            assert (await reader.readline()).startswith(b"HTTP/1.1 200")
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()


async def _until_accepted(edge: RestEdge, context: ssl.SSLContext) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect as soon as the server has seen the end of another connection."""
    while True:
        with suppress(OSError):
            return await asyncio.open_connection("localhost", edge.port, ssl=context)


@pytest.mark.parametrize("upgrade", [b"websocket", b"h2c"])
async def test_upgrades_are_ignored(edges: Served, upgrade: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """A WebSocket would have no limits of time, and its place would never be free again. Nothing is logged: clients in
    Java ask for h2c with each first request."""
    asking = b"connection: upgrade\r\nupgrade: %s\r\nsec-websocket-version: 13\r\nsec-websocket-key: eA==\r\n\r\n"
    async with _serving(edges, connections=1) as edge:
        reader, writer = await asyncio.open_connection("127.0.0.1", edge.port)
        writer.write(_LIVE[:-2] + asking % upgrade)
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        assert edge._server.config.ws_protocol_class is None
        writer.close()
    assert not caplog.records


async def _kept(edge: RestEdge) -> asyncio.StreamWriter:
    """Open a connection, and send a request."""
    reader, writer = await asyncio.open_connection("127.0.0.1", edge.port)
    writer.write(_LIVE)
    assert (await reader.readline()).startswith(b"HTTP/1.1 200")
    return writer


@pytest.mark.parametrize("content", [b"", b"\x16\x03\x01"], ids=["silent", "half hello"])
async def test_slow_tls_handshake_is_ended(edges: Served, tmp_path: Path, content: bytes) -> None:
    """Also before the first byte."""
    store = CertificateStore(write_pems(tmp_path / "tls", trustme.CA()).files())
    async with _serving(edges, header=_SHORT, tls=store) as edge:
        assert await _sent(edge, content) == b""


async def test_slow_header_over_tls_is_ended(edges: Served, tmp_path: Path) -> None:
    """After the handshake, the time starts again."""
    pems = write_pems(tmp_path / "tls", trustme.CA())
    context = ssl.create_default_context(cafile=pems.ca)
    async with _serving(edges, header=_SHORT, tls=CertificateStore(pems.files())) as edge:
        reader, writer = await asyncio.open_connection("localhost", edge.port, ssl=context)
        writer.write(_LIVE[:10])
        assert await asyncio.wait_for(reader.read(), CLOSED_SECONDS) == b""
        writer.close()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"GET / HTTP/9\r\n\r\n", "illegal request line"),
        (b"GET / HTTP/1.1\r\n\r\n", "Missing mandatory Host: header"),
        (b"GET / HTTP/1.1\r\nhost: x\r\nx-api-key : secret\r\n\r\n", "illegal header line"),
        (b"GET / HTTP/1.1\r\nhost: x\r\nx-api-key: sec\0ret\r\n\r\n", "illegal header line"),
        (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", "illegal request line"),
        (b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n", "bad Content-Length"),
        (
            b"POST /v1/rerank HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nx\r\n",
            "illegal chunk header",
        ),
    ],
    ids=["version", "no host", "header name", "header value", "TLS", "content-length", "chunk"],
)
async def test_bytes_that_are_no_http_get_an_error_in_json(edges: Served, content: bytes, reason: str) -> None:
    """Clients parse it like any other error. It does not repeat the bytes, which may be a secret."""
    message = await _error_message(edges, content, 400)
    assert message == f"This is not a valid HTTP request: {reason}. Send HTTP/1.1."


@pytest.mark.parametrize("header", [b"x: " + b"a" * 100_000, b"x:\r\n" * 300], ids=["bytes", "lines"])
async def test_a_header_that_is_too_large_is_an_error_with_both_limits(edges: Served, header: bytes) -> None:
    """The bytes are HTTP, so the error does not say that they are not."""
    message = await _error_message(edges, b"GET / HTTP/1.1\r\n" + header, 431)
    assert message == "The path and the headers have more than 65,536 bytes or 200 lines: send fewer or shorter ones."


async def _error_message(edges: Served, content: bytes, status: int) -> str:
    """Send bytes, and return the message of the error with which the server closes the connection."""
    async with _serving(edges) as edge:
        response = await _sent(edge, content)
    head, _, body = response.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d" % status)
    assert b"\r\nconnection: close" in head
    error = orjson.loads(body)
    assert error["error"]["code"] == "malformed_http"
    return str(error["message"])


async def test_garbage_after_the_response_only_ends_the_connection(
    edges: Served, caplog: pytest.LogCaptureFixture
) -> None:
    """The body of a request that is rejected early is still read. uvicorn would try to send a second response."""
    head = b"POST /no/such/path HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
    async with _serving(edges) as edge:
        reader, writer = await asyncio.open_connection("127.0.0.1", edge.port)
        writer.write(head)
        assert (await reader.readline()).startswith(b"HTTP/1.1 404")
        writer.write(b"no chunk\r\n")
        assert b"HTTP/1.1" not in await reader.read()
        writer.close()
    assert [record.levelname for record in caplog.records if record.exc_info] == []


async def test_no_bytes_are_kept_after_garbage_beside_a_response(edges: Served) -> None:
    """The client reads nothing, so the response lasts. The parser would keep all bytes that are sent until its end."""
    async with _serving(edges) as edge:
        with _small_window() as client:
            await asyncio.get_running_loop().sock_connect(client, ("127.0.0.1", edge.port))
            opened: Any = edge._server.server_state.connections
            while not opened:
                await asyncio.sleep(0.01)
            connection = next(iter(opened))
            connection.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2048)
            client.send(_PAGE[:-2] + b"transfer-encoding: chunked\r\n\r\n")
            while not connection.flow.write_paused:
                await asyncio.sleep(0.01)
            client.send(b"no chunk\r\n")
            while connection.conn.their_state is not h11.ERROR:
                await asyncio.sleep(0.01)
            assert not connection.transport.is_reading()


async def test_request_with_many_small_chunks_is_ended_early(edges: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """43,000 chunks in one write: few of them are parsed, and one read is small."""
    reads: list[int] = []
    received = LimitedConnection.data_received

    def counted(connection: LimitedConnection, data: bytes) -> None:
        reads.append(len(data))
        received(connection, data)

    monkeypatch.setattr(LimitedConnection, "data_received", counted)
    head = b"POST /v1/rerank HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
    async with _serving(edges) as edge:
        response = await _sent(edge, head + b"1\r\na\r\n" * 43_000 + b"0\r\n\r\n")
    assert response.startswith(b"HTTP/1.1 400") or not response  # a reset can overtake it
    assert max(reads) <= 32 * 1024
    assert sum(reads) < 100_000
    assert edges.core.idle()


async def test_request_with_a_wrong_chunk_leaves_nothing_behind(edges: Served) -> None:
    """The handler, which waits for the body, ends too."""
    head = b"POST /v1/rerank HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n5\r\n"
    async with _serving(edges) as edge:
        assert (await _sent(edge, head + b'{"que' + b"\r\nz\r\n")).startswith(b"HTTP/1.1 400")
    assert edges.core.idle()
