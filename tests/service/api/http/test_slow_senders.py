"""REST clients that send slowly, on real sockets.

A test waits until the server closes a connection. The limits of these tests are fractions of a second.
"""

import asyncio
import ssl
from pathlib import Path

import orjson
import pytest
import trustme

from rerank_service.api.tls.store import CertificateStore
from support.network import CLOSED_SECONDS
from support.rest_connections import LIVE, LONG, PROGRESS, RERANK_HEAD, SHORT, sent, serving
from support.running import Served
from support.tls import write_pems


@pytest.mark.parametrize(
    ("content", "drip"),
    [(b"", b""), (LIVE[:10], b""), (LIVE[:30], b""), (b"GET /", b"a"), (LIVE[:-2] + b"a: ", b"a")],
    ids=["silent", "half request line", "half header", "slow request line", "slow header"],
)
async def test_slow_header_is_ended(edges: Served, content: bytes, drip: bytes) -> None:
    """More bytes do not extend the time."""
    async with serving(edges, header=SHORT) as edge:
        assert await sent(edge, content, drip) == b""


@pytest.mark.parametrize("drip", [b"", b"a"], ids=["half header", "slow header"])
async def test_slow_header_of_a_later_request_is_ended(edges: Served, drip: bytes) -> None:
    """The first byte ends uvicorn's idle timeout."""
    async with serving(edges, header=SHORT, idle_timeout=LONG) as edge:
        response = await sent(edge, LIVE + b"GET /a", drip)
    assert response.startswith(b"HTTP/1.1 200")
    assert response.count(b"HTTP/1.1") == 1


@pytest.mark.parametrize(
    ("content", "drip"), [(b"", b""), (b'{"query": ', b""), (b"", b"a")], ids=["no body", "half body", "slow body"]
)
async def test_slow_body_gets_status_408(edges: Served, content: bytes, drip: bytes) -> None:
    """One byte per second is no progress. The connection is closed, since the rest of the body is not read."""
    async with serving(edges, progress=SHORT) as edge:
        response = await sent(edge, RERANK_HEAD + content, drip)
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
    async with serving(edges, progress=PROGRESS) as edge:
        reader, writer = await asyncio.open_connection("127.0.0.1", edge.port)
        writer.write(RERANK_HEAD.replace(b"100000", str(len(body)).encode()))
        for part in parts:
            await asyncio.sleep(PROGRESS / 10)
            writer.write(part)
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        writer.close()


@pytest.mark.parametrize("drip", [b"", b"a"], ids=["half body", "slow body"])
async def test_body_after_the_response_is_ended(edges: Served, drip: bytes) -> None:
    """A path that reads no body responds at once."""
    async with serving(edges, progress=SHORT, idle_timeout=LONG) as edge:
        response = await sent(edge, RERANK_HEAD.replace(b"/v2/rerank", b"/no/such/path"), drip)
    assert response.startswith(b"HTTP/1.1 404")


async def test_connection_whose_body_ends_after_the_response_is_idle(edges: Served) -> None:
    """It has the time of an idle connection, not that of a slow body or of a slow header."""
    head = RERANK_HEAD.replace(b"/v2/rerank", b"/no/such/path").replace(b"100000", b"2")
    async with serving(edges, header=SHORT, progress=SHORT, idle_timeout=LONG) as edge:
        reader, writer = await asyncio.open_connection("127.0.0.1", edge.port)
        writer.write(head + b"{")
        response = await reader.readuntil(b"\r\n\r\n")
        assert response.startswith(b"HTTP/1.1 404")
        writer.write(b"}")
        await asyncio.sleep(2 * SHORT)
        writer.write(LIVE)
        assert b"HTTP/1.1 200" in await reader.readuntil(b"HTTP/1.1 200")
        writer.close()


@pytest.mark.parametrize("content", [b"", b"\x16\x03\x01"], ids=["silent", "half hello"])
async def test_slow_tls_handshake_is_ended(edges: Served, tmp_path: Path, content: bytes) -> None:
    """Also before the first byte."""
    store = CertificateStore(write_pems(tmp_path / "tls", trustme.CA()).files())
    async with serving(edges, header=SHORT, tls=store) as edge:
        assert await sent(edge, content) == b""


async def test_slow_header_over_tls_is_ended(edges: Served, tmp_path: Path) -> None:
    """After the handshake, the time starts again."""
    pems = write_pems(tmp_path / "tls", trustme.CA())
    context = ssl.create_default_context(cafile=pems.ca)
    async with serving(edges, header=SHORT, tls=CertificateStore(pems.files())) as edge:
        reader, writer = await asyncio.open_connection("localhost", edge.port, ssl=context)
        writer.write(LIVE[:10])
        assert await asyncio.wait_for(reader.read(), CLOSED_SECONDS) == b""
        writer.close()
