"""Keepalive pings of gRPC clients, with and without running calls. The clients ping much more often than in production.

tests/clients has clients that ping every 10 s against the default policy.
"""

import asyncio
from typing import Any

import grpc
import pytest

from rerank._channel import channel_options
from rerank.v1 import rerank_pb2 as pb
from rerank.v1 import rerank_pb2_grpc as pb_grpc
from rerank_service.settings import Settings
from support.http2_proxy import Http2Proxy, http2_proxy
from support.running import Running, served

PINGS = 6
"""A server with gRPC's default policy closes the connection at the fifth ping at the latest."""
_OPTIONS = [
    ("grpc.keepalive_time_ms", 10),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.use_local_subchannel_pool", 1),
]
_REQUEST = pb.RerankRequest(query="0", documents=[pb.Document(text="1")])


def _channel(proxy: Http2Proxy, options: Any = _OPTIONS) -> grpc.aio.Channel:
    return grpc.aio.insecure_channel(f"127.0.0.1:{proxy.port}", options=options)


async def _receive(pings: asyncio.Queue[bool]) -> None:
    for _ in range(PINGS):
        assert await pings.get(), "the connection ended"


async def test_call_survives_pings(core: Running) -> None:
    """A call without traffic, such as a large request while it is computed."""
    core.score.hold()
    async with (
        served(core, min_ping_interval=0.0) as edges,
        http2_proxy(edges.grpc.port) as proxy,
        _channel(proxy) as channel,
    ):
        call = pb_grpc.RerankStub(channel).Rerank(_REQUEST)
        await core.score.started()
        await _receive(proxy.client.pings)
        core.score.release()
        response = await call
    assert [result.index for result in response.results] == [0]
    assert proxy.connections == 1


async def test_idle_connection_survives_pings(core: Running) -> None:
    """The next call needs no new connection."""
    async with (
        served(core, min_ping_interval=0.0) as edges,
        http2_proxy(edges.grpc.port) as proxy,
        _channel(proxy) as channel,
    ):
        stub = pb_grpc.RerankStub(channel)
        await stub.Rerank(_REQUEST)
        await _receive(proxy.client.pings)
        await stub.Rerank(_REQUEST)
    assert proxy.connections == 1


async def test_client_that_pings_too_often_is_disconnected(core: Running) -> None:
    """The setting is a limit: these pings are far more frequent than the default allows."""
    core.score.hold()
    async with (
        served(core) as edges,
        http2_proxy(edges.grpc.port) as proxy,
        _channel(proxy) as channel,
    ):
        with pytest.raises(grpc.aio.AioRpcError, match="Too many pings") as caught:
            await pb_grpc.RerankStub(channel).Rerank(_REQUEST)
        core.score.release()
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_server_pings_an_idle_client(core: Running) -> None:
    """With `keepalive_time`, so that load balancers keep the connection, and lost clients are noticed."""
    async with (
        served(core, keepalive_time=0.01) as edges,
        http2_proxy(edges.grpc.port) as proxy,
        _channel(proxy, [("grpc.use_local_subchannel_pool", 1)]) as channel,
    ):
        stub = pb_grpc.RerankStub(channel)
        await stub.Rerank(_REQUEST)
        await _receive(proxy.server.pings)
        await stub.Rerank(_REQUEST)
    assert proxy.connections == 1


def test_default_policy_allows_a_ping_every_10_seconds() -> None:
    """Go and Java clients ping at most every 10 s. Pings may arrive closer together than they were sent."""
    assert Settings.model_construct().min_ping_interval <= 5.0


def test_python_client_pings_within_the_default_policy() -> None:
    """It pings with and without calls, and callers can override the interval."""
    options = dict(channel_options("127.0.0.1:1", ()))
    assert options["grpc.keepalive_permit_without_calls"] == 1
    assert options["grpc.keepalive_time_ms"] >= 1000 * Settings.model_construct().min_ping_interval
    assert dict(channel_options("127.0.0.1:1", [("grpc.keepalive_time_ms", 7)]))["grpc.keepalive_time_ms"] == 7
