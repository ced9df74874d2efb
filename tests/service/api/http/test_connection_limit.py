"""The maximum number of REST connections, on real sockets."""

import asyncio
import ssl
from contextlib import suppress
from pathlib import Path

import pytest
import structlog
import trustme

from rerank_service.api.http.server import RestEdge
from rerank_service.api.tls.store import CertificateStore
from support.rest_connections import LIVE, kept_connection, sent, serving
from support.running import Served
from support.tls import write_pems


async def test_connections_above_the_maximum_are_closed(edges: Served) -> None:
    """At once, and only until another one ends. The log has one line."""
    async with serving(edges, connections=2) as edge:
        kept = [await kept_connection(edge) for _ in range(2)]
        with structlog.testing.capture_logs() as logged:
            for _ in range(3):
                assert await sent(edge) == b""
        assert [(entry["event"], entry["max_connections"]) for entry in logged] == [("too many connections", 2)]
        kept.pop().close()
        while len(edge._server.server_state.connections) > 1:
            await asyncio.sleep(0)
        kept.append(await kept_connection(edge))
        for writer in kept:
            writer.close()


async def test_unfinished_tls_handshakes_count_as_connections(edges: Served, tmp_path: Path) -> None:
    """Otherwise a stranger could open more of them than there are descriptors. Handshakes that fail stop counting."""
    pems = write_pems(tmp_path / "tls", trustme.CA())
    async with serving(edges, connections=2, tls=CertificateStore(pems.files())) as edge:
        silent = [await asyncio.open_connection("127.0.0.1", edge.port) for _ in range(2)]
        assert await sent(edge) == b""
        silent[0][1].write(b"GET / HTTP/1.1\r\n\r\n")
        await silent[0][0].read()
        for _, writer in silent:
            writer.close()
        context = ssl.create_default_context(cafile=pems.ca)
        for _ in range(5):  # each takes the place of the one before
            reader, writer = await _until_accepted(edge, context)
            writer.write(LIVE)
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
    async with serving(edges, connections=1) as edge:
        reader, writer = await asyncio.open_connection("127.0.0.1", edge.port)
        writer.write(LIVE[:-2] + asking % upgrade)
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        assert edge._server.config.ws_protocol_class is None
        writer.close()
    assert not caplog.records
