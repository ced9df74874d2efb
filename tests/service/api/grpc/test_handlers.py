"""gRPC handlers over a real port: statuses, their details, API keys, deadlines and cancellation."""

import asyncio
from collections.abc import Generator
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc

from rerank.client import AsyncRerankClient
from rerank.v1 import rerank_pb2 as pb
from rerank.v1 import rerank_pb2_grpc as pb_grpc
from rerank_service.api.auth import Keys, KnownKey, digest
from rerank_service.api.grpc import handlers
from rerank_service.api.grpc.message_parts import parsed_in_parts
from rerank_service.models.bundle import Bundle
from rerank_service.scheduling.caller import Caller
from support.grpc_calls import rich_status, until_idle
from support.running import MAX_MESSAGE_BYTES, Running, Served, running, served

METHOD = "/rerank.v1.Rerank/Rerank"


STREAM = "/rerank.v1.Rerank/RerankStream"


@pytest.mark.parametrize("method", [METHOD, STREAM])
async def test_invalid_bytes_are_an_invalid_argument(edges: Served, method: str) -> None:
    """grpc.aio alone would respond with UNKNOWN."""
    garbage: Any = b"\xff\xff\xff"
    async with grpc.aio.insecure_channel(edges.address) as channel:
        with pytest.raises(grpc.aio.AioRpcError, match=r"is not a valid rerank\.v1\.Rerank") as caught:
            if method == METHOD:
                await channel.unary_unary(method)(garbage)
            else:
                await channel.stream_stream(method)(iter([garbage])).read()
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_message_over_the_limit_has_no_retry_info(edges: Served) -> None:
    """gRPC itself rejects it. A retry would not help."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await edges.client.rerank("0", ["1 " * MAX_MESSAGE_BYTES])
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert not rich_status(caught.value).details


async def test_overloaded_server_sends_retry_info(small_model: Bundle) -> None:
    """The status is RESOURCE_EXHAUSTED with google.rpc.RetryInfo."""
    async with running(small_model, max_live_documents=1) as core, served(core) as edges:
        core.score.hold()
        first = asyncio.create_task(edges.client.rerank("0", ["1"]))
        await core.score.started()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await edges.client.rerank("0", ["1"])
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        retry = error_details_pb2.RetryInfo()
        assert rich_status(caught.value).details[0].Unpack(retry)
        assert retry.retry_delay.ToNanoseconds() > 0
        core.score.release()
        await first


async def test_draining_server_is_unavailable(edges: Served) -> None:
    """A client that receives UNAVAILABLE tries another replica."""
    edges.core.admission.close()
    with pytest.raises(grpc.aio.AioRpcError, match="draining") as caught:
        await edges.client.rerank("0", ["1"])
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_cancelled_call_leaves_the_queue(edges: Served) -> None:
    """The request leaves the queue while its first batch still runs."""
    edges.core.score.hold()
    stub: pb_grpc.RerankAsyncStub = pb_grpc.RerankStub(edges.client._channel)
    call = stub.Rerank(pb.RerankRequest(query="0", documents=[pb.Document(text=str(n)) for n in range(99)]))
    await edges.core.score.started()
    call.cancel()
    await until_idle(edges.core)


async def test_call_past_its_deadline_leaves_the_queue(edges: Served) -> None:
    """The client receives DEADLINE_EXCEEDED, and the server is idle."""
    edges.core.score.hold()
    async with AsyncRerankClient(edges.address, timeout=0.2) as hasty:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await hasty.rerank("0", ["1"])
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    await until_idle(edges.core)


async def test_api_key_is_required(core: Running) -> None:
    """A missing or wrong key is UNAUTHENTICATED. Health checks need no key."""
    async with served(core, keys=Keys(["sesame"])) as edges:
        for client in (edges.client, AsyncRerankClient(edges.address, api_key="wrong")):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await client.rerank("0", ["1"])
            assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
            await client.close()
        async with AsyncRerankClient(edges.address, api_key="sesame") as client:
            assert len((await client.rerank("0", ["1"])).results) == 1
            health = health_pb2_grpc.HealthStub(client._channel)
            await health.Check(health_pb2.HealthCheckRequest(service="live"))


async def test_weight_of_a_key_reaches_the_queue(core: Running) -> None:
    """Unary calls, streams and REST requests get the weight of their key."""
    keys = Keys(known=[KnownKey(digest("sesame"), Caller("search", 3.0))])
    queue = core.model.scheduler._queue
    async with served(core, keys=keys) as edges, AsyncRerankClient(edges.address, api_key="sesame") as client:
        body = {"query": "0", "documents": ["1"]}
        for ask in (
            lambda: client.rerank("0", ["1"]),
            lambda: client.rerank_stream("0", ["1"]),
            lambda: edges.http.post("/v2/rerank", json=body, headers={"x-api-key": "sesame"}),
        ):
            core.score.hold()
            call = asyncio.ensure_future(ask())
            await core.score.started()
            assert [share.weight for share in queue._shares.values()] == [3.0]
            core.score.release()
            await call
            await until_idle(core)


async def test_request_id_is_returned(edges: Served) -> None:
    """The response has the id of the request's metadata."""
    stub: pb_grpc.RerankAsyncStub = pb_grpc.RerankStub(edges.client._channel)
    request = pb.RerankRequest(query="0", documents=[pb.Document(text="1")])
    assert (await stub.Rerank(request, metadata=(("x-request-id", "mine"),))).id == "mine"


async def test_long_message_does_not_lose_the_status(edges: Served) -> None:
    """Clients accept 8 KiB of headers, and a status is sent in headers."""
    for options in ({"model": "m" * 5000}, {"rank_fields": ["f" * 100] * 800}):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await edges.client.rerank("0", [pb.Document(json='{"a": "1"}')], **options)
        assert caught.value.code() in (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.INVALID_ARGUMENT)


async def test_large_messages_are_parsed_one_after_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many half parsed ones at once would take gigabytes. REST bodies take the same turns."""
    parsing, most = 0, 0

    def watched(message_class: type[pb.RerankRequest], data: bytes) -> Generator[None, None, pb.RerankRequest]:
        nonlocal parsing, most
        parsing += 1
        most = max(most, parsing)
        message = yield from parsed_in_parts(message_class, data)
        parsing -= 1
        return message

    monkeypatch.setattr(handlers, "parsed_in_parts", watched)
    message = pb.RerankRequest(documents=[pb.Document(text="x" * 1000)] * 2000)
    data = message.SerializeToString()
    descriptor = pb.RerankRequest.DESCRIPTOR
    parsed = await asyncio.gather(*(handlers._parsed(pb.RerankRequest, descriptor, data) for _ in range(3)))
    assert parsed == [message] * 3
    assert most == 1


async def test_repaired_message_is_parsed_in_parts() -> None:
    """Like the message as it came: neither blocks the event loop."""
    message = pb.RerankRequest(query="\ufffd", documents=[pb.Document(text="x" * 1000)] * 2000)
    damaged = message.SerializeToString().replace("\ufffd".encode(), b"\xed\xa0\xbd")
    turns = 0

    async def beside() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(beside())
    assert await handlers._parsed(pb.RerankRequest, pb.RerankRequest.DESCRIPTOR, damaged) == message
    counting.cancel()
    assert turns >= len(damaged) // (256 * 1024) + len(damaged) // (128 * 1024)
