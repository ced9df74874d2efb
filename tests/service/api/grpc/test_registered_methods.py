"""The gRPC server accepts calls of any path, and none stops it."""

import asyncio
from typing import Any

import grpc
import pytest

from rerank_service.api.grpc.registered_methods import ending_with
from support.http2 import START, frames, headers, message
from support.running import Served

_HEADERS = 1


async def _trailers(address: str, path: bytes) -> bytes:
    """Make a call of a path, and return the payload of the first headers of the response."""
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(START + headers(1, "", more={":path": path}) + message(1, b""))
    received = b""
    try:
        while True:
            head = await reader.readexactly(9)
            received = head + await reader.readexactly(int.from_bytes(head[:3], "big"))
            [(kind, _, payload)] = frames(received)
            if kind == _HEADERS:
                return payload
    finally:
        writer.close()


@pytest.mark.parametrize(
    "path",
    [b"/\xff\xfe/x", b"/rerank.v1.Rerank/Rerank\xff", b"\xff", b"/a\0b/c", b"/\xed\xa0\xbd/x", b"/x/y", b"/", b"x"],
    ids=["no UTF-8", "suffix", "no slash", "NUL", "surrogate", "unknown", "empty", "short"],
)
async def test_path_of_any_bytes_is_unimplemented(edges: Served, path: bytes) -> None:
    """grpc.aio stops its whole server at the first path that is not UTF-8. Other calls go on, and new ones succeed."""
    before = grpc.aio.insecure_channel(edges.address)
    await before.channel_ready()
    for _ in range(3):
        assert b"grpc-status\x0212" in await _trailers(edges.address, path)
    assert (await edges.client.rerank("0", ["1"])).results[0].logit == 1.0
    assert before.get_state() is grpc.ChannelConnectivity.READY
    await before.close()


async def test_block_ends_with_a_server_that_ends_by_a_fault() -> None:
    """With grpc.aio's own server, which ends by the path of a call. If a new version no longer does, this test hangs,
    and registered_methods.py can become simpler."""
    server = grpc.aio.server()
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    with pytest.raises(UnicodeDecodeError):
        async with ending_with(server):
            await _trailers(f"127.0.0.1:{port}", b"/\xff")  # closes its connection: the server waits for its end
            await asyncio.Event().wait()


async def test_block_may_stop_the_server() -> None:
    """A server that drains does so."""
    server = grpc.aio.server()
    await server.start()
    async with ending_with(server):
        await server.stop(0.0)


async def test_many_unknown_calls_at_once(edges: Served) -> None:
    """They are accepted one after another."""
    empty: Any = b""
    async with grpc.aio.insecure_channel(edges.address) as channel:
        calls: list[Any] = [channel.unary_unary(f"/unknown.Service/{number}")(empty) for number in range(200)]
        assert {await call.code() for call in calls} == {grpc.StatusCode.UNIMPLEMENTED}
