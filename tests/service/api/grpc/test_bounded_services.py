"""Limits of health checks and reflection, which need no API key."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from rerank_service.api.grpc.bounded_services import _Calls
from support.http2 import START_WITH_LARGE_WINDOWS, frames, headers, message
from support.running import Running, Served, served
from support.tls import OWN_CONNECTION

_HEALTH, _INFO = "/grpc.health.v1.Health/", "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
_METHODS = (f"{_HEALTH}Check", f"{_HEALTH}Watch", _INFO)
_UNIMPLEMENTED, _EXHAUSTED = grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.RESOURCE_EXHAUSTED
_Channel = grpc.aio.Channel


@asynccontextmanager
async def _channel(address: str) -> AsyncIterator[_Channel]:
    async with grpc.aio.insecure_channel(address, options=OWN_CONNECTION) as channel:
        yield channel


def _call(channel: _Channel, method: str, *messages: bytes) -> Any:
    """Begin a call of any kind."""
    begin: Any = channel.stream_stream(method)
    return begin(iter(messages))


async def _watched(channel: _Channel) -> Any:
    """Begin a watch, and wait for its first response."""
    call = _call(channel, f"{_HEALTH}Watch", b"")
    assert await call.read() is not grpc.aio.EOF
    return call


async def _is_served(edges: Served) -> bool:
    """Return whether another connection can check the health."""
    async with _channel(edges.address) as channel:
        response = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
    return bool(response.status == health_pb2.HealthCheckResponse.SERVING)


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"\x0a\x8e\x20" + b"a" * 4110, "more than 4,096 bytes"), (b"\xff\xff", "not a valid message")],
    ids=["large", "invalid"],
)
async def test_wrong_messages_are_refused(edges: Served, content: bytes, words: str) -> None:
    """A watch would keep the name of its service as long as the connection lasts."""
    async with _channel(edges.address) as channel:
        for method in _METHODS:
            call = _call(channel, method, content)
            assert await call.code() is grpc.StatusCode.INVALID_ARGUMENT
            assert words in await call.details()
    assert await _is_served(edges)


async def test_calls_on_a_connection_are_few(edges: Served) -> None:
    """Others are served meanwhile. An end makes room. A client whose watch is unimplemented goes on without it."""
    async with _channel(edges.address) as channel:
        calls = [await _watched(channel) for _ in range(32)]
        codes = [await _call(channel, method, b"").code() for method in _METHODS]
        assert codes == [_EXHAUSTED, _UNIMPLEMENTED, _EXHAUSTED]
        assert await _is_served(edges)
        calls.pop().cancel()
        check = health_pb2_grpc.HealthStub(channel).Check
        while not await _succeeds(check):
            await asyncio.sleep(0)


async def _succeeds(check: Any) -> bool:
    try:
        await check(health_pb2.HealthCheckRequest())
    except grpc.aio.AioRpcError:
        return False
    return True


async def test_watches_beyond_the_maximum_are_unimplemented(core: Running) -> None:
    """Clients then take the server as healthy. Checks have no maximum."""
    async with served(core, max_connections=3) as edges, AsyncExitStack() as stack:
        first, second = [await stack.enter_async_context(_channel(edges.address)) for _ in range(2)]
        calls = [await _watched(channel) for channel in (first, first, second)]
        assert await _call(second, f"{_HEALTH}Watch", b"").code() is _UNIMPLEMENTED
        assert await _is_served(edges)
        calls.pop().cancel()
        while await _is_refused(second):
            await asyncio.sleep(0)


async def _is_refused(channel: _Channel) -> bool:
    call = _call(channel, f"{_HEALTH}Watch", b"")
    refused = await call.read() is grpc.aio.EOF
    call.cancel()
    return refused


async def test_slow_messages_are_few(core: Running) -> None:
    """All that has arrived of a message is in memory, up to the maximum of a message. So most calls without their
    message end soon, and a few wait for it. Health checks with their message are served meanwhile."""
    async with served(core, header_timeout=60.0) as edges:
        await _half_messages(
            edges, 20, b"The message did not arrive at once, and other calls wait: try later.", ended=16
        )


async def test_slow_messages_end_in_time(core: Running) -> None:
    """The messages of the few calls that may wait."""
    async with served(core, header_timeout=2.0) as edges:
        await _half_messages(edges, 4, b"The client sent no message within 2 s.", ended=4)


async def _half_messages(edges: Served, calls: int, reason: bytes, *, ended: int) -> None:
    """Begin the messages of some calls on one connection, and wait until some of them have ended for a reason, and none
    for another one. Other connections are served meanwhile."""
    reader, writer = await asyncio.open_connection("127.0.0.1", edges.grpc.port)
    begun = [
        headers(stream, method) + message(stream, b"a" * 10, size=1000)
        for stream, method in zip(range(1, 2 * calls, 2), itertools.cycle(_METHODS))
    ]
    writer.write(START_WITH_LARGE_WINDOWS + b"".join(begun))
    received = b""
    while received.count(reason) < ended:
        assert await _is_served(edges)
        received += await reader.read(65536)
    assert len(_ended(received)) == ended
    writer.close()


def _ended(received: bytes) -> set[int]:
    """Return the streams that have ended. A frame may be incomplete."""
    whole = frames(received) if received else []
    return {stream for kind, stream, _ in whole if kind == 1}


async def test_reflections_are_few() -> None:
    """On all connections together. An end makes room."""
    calls = _Calls(max_watches=10)
    with ExitStack() as open_calls:
        first = [open_calls.enter_context(calls.counted(f"ipv4:10.0.0.1:{n}", "stream")) for n in range(100)]
        assert first == [None] * 100
        with calls.counted("ipv4:10.0.0.2:1", "stream") as refusal:
            assert refusal == (_EXHAUSTED, "The server has 100 calls of reflection: try later.")
        with calls.counted("ipv4:10.0.0.2:1", "unary") as refusal:
            assert refusal is None
    with calls.counted("ipv4:10.0.0.2:1", "stream") as refusal:
        assert refusal is None
    assert not calls._by_connection
    assert not calls._by_kind


async def test_clients_of_a_unix_socket_are_not_one_connection() -> None:
    """They have no address, and are on this machine."""
    calls = _Calls(max_watches=100)
    with ExitStack() as open_calls:
        assert not any(open_calls.enter_context(calls.counted("unix:", "watch")) for _ in range(100))
