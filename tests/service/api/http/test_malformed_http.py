"""Bytes on a REST connection that are no HTTP, or too many."""

import asyncio
import socket
from typing import Any

import h11
import orjson
import pytest

from rerank_service.api.http.connection import LimitedConnection
from support.rest_connections import PAGE, sent, serving, small_window
from support.running import Served


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
    async with serving(edges) as edge:
        response = await sent(edge, content)
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
    async with serving(edges) as edge:
        reader, writer = await asyncio.open_connection("127.0.0.1", edge.port)
        writer.write(head)
        assert (await reader.readline()).startswith(b"HTTP/1.1 404")
        writer.write(b"no chunk\r\n")
        assert b"HTTP/1.1" not in await reader.read()
        writer.close()
    assert [record.levelname for record in caplog.records if record.exc_info] == []


async def test_no_bytes_are_kept_after_garbage_beside_a_response(edges: Served) -> None:
    """The client reads nothing, so the response lasts. The parser would keep all bytes that are sent until its end."""
    async with serving(edges) as edge:
        with small_window() as client:
            await asyncio.get_running_loop().sock_connect(client, ("127.0.0.1", edge.port))
            opened: Any = edge._server.server_state.connections
            while not opened:
                await asyncio.sleep(0.01)
            connection = next(iter(opened))
            connection.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2048)
            client.send(PAGE[:-2] + b"transfer-encoding: chunked\r\n\r\n")
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
    async with serving(edges) as edge:
        response = await sent(edge, head + b"1\r\na\r\n" * 43_000 + b"0\r\n\r\n")
    assert response.startswith(b"HTTP/1.1 400") or not response  # a reset can overtake it
    assert max(reads) <= 32 * 1024
    assert sum(reads) < 100_000
    assert edges.core.idle()


async def test_request_with_a_wrong_chunk_leaves_nothing_behind(edges: Served) -> None:
    """The handler, which waits for the body, ends too."""
    head = b"POST /v1/rerank HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n5\r\n"
    async with serving(edges) as edge:
        assert (await sent(edge, head + b'{"que' + b"\r\nz\r\n")).startswith(b"HTTP/1.1 400")
    assert edges.core.idle()
