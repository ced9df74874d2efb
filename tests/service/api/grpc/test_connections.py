"""gRPC clients that send or read slowly, and the number of connections, on real sockets.

A test waits until the server closes a connection or ends a call. The limits of these tests are fractions of a second.
"""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest
import trustme
from grpc_health.v1 import health_pb2, health_pb2_grpc

from rerank.client import AsyncRerankClient
from rerank.v1 import rerank_pb2 as pb
from rerank_service.settings import Settings
from support.http2 import (
    GOAWAY,
    PREFACE,
    SETTINGS,
    START,
    START_WITH_LARGE_WINDOWS,
    frames,
    headers,
    message,
)
from support.network import CLOSED_SECONDS, server_state, user_timeouts
from support.running import Running, served
from support.tls import OWN_CONNECTION, tls_served, write_pems

_SHORT = 0.3
_RERANK = "/rerank.v1.Rerank/Rerank"
_CHECK = "/grpc.health.v1.Health/Check"


@asynccontextmanager
async def _connected(port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.close()


async def _received(port: int, content: bytes) -> bytes:
    """Send bytes, and return what the server has sent when it has closed the connection."""
    async with _connected(port) as (reader, writer):
        writer.write(content)
        try:
            return await asyncio.wait_for(reader.read(), CLOSED_SECONDS)
        except ConnectionResetError:
            return b""


@pytest.mark.parametrize(
    "content",
    [b"", PREFACE[:10], PREFACE, PREFACE + SETTINGS[:5]],
    ids=["silent", "half preface", "no settings", "half settings"],
)
async def test_slow_start_is_ended(core: Running, content: bytes) -> None:
    """gRPC waits for the preface and the settings of HTTP/2."""
    async with served(core, header_timeout=_SHORT) as edges:
        await _received(edges.grpc.port, content)


async def test_slow_preface_is_ended(core: Running) -> None:
    """One byte after the other does not extend the time."""
    async with served(core, header_timeout=_SHORT) as edges, _connected(edges.grpc.port) as (reader, writer):
        ended = asyncio.create_task(asyncio.wait_for(reader.read(), CLOSED_SECONDS))
        for byte in PREFACE:
            if not ended.done():
                writer.write(bytes([byte]))
                await asyncio.wait([ended], timeout=_SHORT / 5)
        await ended


@pytest.mark.parametrize("content", [b"", headers(1, _RERANK)[:5]], ids=["after settings", "half frame"])
async def test_idle_connection_is_closed_gracefully(core: Running, content: bytes) -> None:
    """With GOAWAY, so that clients connect again for their next call."""
    async with served(core, idle_timeout=_SHORT) as edges:
        received = await _received(edges.grpc.port, START + content)
    assert GOAWAY in [kind for kind, _, _ in frames(received)]


async def test_client_survives_the_end_of_its_idle_connection(core: Running) -> None:
    """Its next call connects again."""
    async with served(core, idle_timeout=0.01) as edges:
        channel = grpc.aio.insecure_channel(edges.address, options=OWN_CONNECTION)
        async with channel:
            check = health_pb2_grpc.HealthStub(channel).Check
            for _ in range(3):
                await check(health_pb2.HealthCheckRequest())
                while channel.get_state() is grpc.ChannelConnectivity.READY:
                    await asyncio.sleep(0.01)


@pytest.mark.parametrize("method", [_RERANK, "/rerank.v1.Rerank/RerankStream", "/tei.v1.Rerank/Rerank", _CHECK])
@pytest.mark.parametrize("content", [b"", message(1, b"a" * 10, size=1000)], ids=["no message", "half message"])
async def test_slow_message_is_ended_by_the_default_deadline(core: Running, method: str, content: bytes) -> None:
    """gRPC itself would wait without end for the message of a unary call."""
    async with served(core, default_timeout=_SHORT) as edges, _connected(edges.grpc.port) as (reader, writer):
        writer.write(START + headers(1, method) + content)
        received = b""
        while b"grpc-status" not in received:
            part = await reader.read(65536)
            assert part, "the connection ended"
            received += part
        assert str(grpc.StatusCode.DEADLINE_EXCEEDED.value[0]).encode() in received.partition(b"grpc-status")[2][:3]
        assert core.idle()


async def test_reflection_does_not_wait_without_end(core: Running) -> None:
    """The stream of a client that asks nothing."""
    async with served(core, default_timeout=_SHORT) as edges, grpc.aio.insecure_channel(edges.address) as channel:
        info: grpc.aio.StreamStreamCall[bytes, bytes]
        info = channel.stream_stream("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo")()
        assert await info.code() is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_reader_that_does_not_read_is_ended(core: Running) -> None:
    """It answers no ping, because it does not read it. Its calls end, and the memory of their responses is free."""
    async with served(core, keepalive_time=_SHORT, progress_timeout=_SHORT, max_connection_calls=10_000) as edges:
        text = "1" * 10_000
        request = pb.RerankRequest(query="0", documents=[pb.Document(text=text)] * 50, return_documents=True)
        content = request.SerializeToString()
        with socket.create_connection(("127.0.0.1", edges.grpc.port)) as client:
            client.setblocking(False)
            calls = b"".join(headers(2 * call + 1, _RERANK) + message(2 * call + 1, content) for call in range(40))
            loop = asyncio.get_running_loop()
            sending = asyncio.create_task(loop.sock_sendall(client, START_WITH_LARGE_WINDOWS + calls))
            await asyncio.wait([sending], timeout=60)
            local = client.getsockname()[1]
            while server_state(edges.grpc.port, local) == "01":
                await asyncio.sleep(0.01)
            sending.cancel()


async def test_unread_responses_end_in_the_kernel_too(core: Running) -> None:
    """gRPC sets this time by itself, if the server sends pings."""
    async with served(core, progress_timeout=7.0) as edges:
        await edges.client.rerank("0", ["1"])
        assert set(user_timeouts(edges.grpc.port)) == {7000}


async def test_connections_above_the_maximum_are_closed(core: Running) -> None:
    """At once, and only until another one ends."""
    async with served(core, max_connections=2) as edges:
        port = edges.grpc.port
        async with _connected(port) as first:
            await _first_frame(first)
            async with _connected(port) as second:
                await _first_frame(second)
                assert await _received(port, START) == b""
            while not await _is_accepted(port):
                await asyncio.sleep(0.01)


async def _first_frame(connection: tuple[asyncio.StreamReader, asyncio.StreamWriter]) -> bytes:
    reader, writer = connection
    writer.write(START)
    return await reader.read(9)


async def _is_accepted(port: int) -> bool:
    try:
        async with _connected(port) as connection:
            return bool(await _first_frame(connection))
    except ConnectionError:
        return False


async def test_calls_above_the_maximum_wait_at_the_client(core: Running) -> None:
    """The server announces the maximum, and gRPC clients hold back further calls. The health watch is a call, too.

    Calls that a client starts before the announcement are refused, and repeated by the client.
    """
    core.score.hold()
    async with (
        served(core, max_connection_calls=3) as edges,
        AsyncRerankClient(edges.address, options=OWN_CONNECTION) as client,
    ):
        calls = [asyncio.ensure_future(client.rerank("0", ["1"])) for _ in range(5)]
        await core.score.started()
        while core.admission.live_requests < 2:
            await asyncio.sleep(0.01)
        core.score.release()
        assert len(await asyncio.gather(*calls)) == 5


async def test_slow_tls_handshake_is_ended(core: Running, tmp_path: Path) -> None:
    """Before the first byte, and after a part of it."""
    files = write_pems(tmp_path / "tls", trustme.CA()).files()
    async with tls_served(core, files, header_timeout=_SHORT) as running:
        for content in (b"", b"\x16\x03\x01"):
            await _received(running.grpc_port, content)


def test_default_limits() -> None:
    """As documented in issue 14: 10 s for headers, 30 s without progress, 300 s idle."""
    defaults = Settings.model_construct()
    assert (defaults.header_timeout, defaults.progress_timeout, defaults.grpc_idle_timeout) == (10.0, 30.0, 300.0)
