"""Streams that the server ends while a grpc.aio client writes. The client keeps their status.

Client and server share an event loop, so without help nearly every such stream loses it (support/lost_status.py).
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from rerank.tei import tei_pb2
from rerank.v1 import rerank_pb2 as pb
from rerank_service.api.auth import Keys
from rerank_service.api.grpc import client_messages
from rerank_service.scheduling.partial_cutoff import Cutoff
from support.grpc_calls import until_idle
from support.lost_status import (
    LONG_MESSAGE_BYTES,
    by_writes,
    from_iterator,
    refuse,
    refuse_after_the_last_message,
    statuses,
)
from support.observed import observed
from support.running import Running, Served, served
from support.small import NAN

STREAM = "/rerank.v1.Rerank/RerankStream"
TEI = "/tei.v1.Rerank/RerankStream"
STREAMS = 20
WAYS = pytest.mark.parametrize("send", [from_iterator, by_writes])


@pytest.fixture
async def channel(edges: Served) -> AsyncIterator[grpc.aio.Channel]:
    """A channel of plain grpc.aio."""
    async with grpc.aio.insecure_channel(edges.address) as opened:
        yield opened


def messages(*texts: str, **header: Any) -> list[bytes]:
    """Return the messages of a stream with one text in each."""
    first = pb.RerankStreamRequest(header=pb.RerankHeader(request=pb.RerankRequest(query="0", **header)))
    chunks = [pb.DocumentChunk(documents=[pb.Document(text=text)]) for text in texts]
    return [each.SerializeToString() for each in (first, *(pb.RerankStreamRequest(documents=one) for one in chunks))]


def tei_messages(*texts: str) -> list[bytes]:
    """Return the messages of a stream of tei.v1."""
    return [tei_pb2.RerankStreamRequest(query="0", text=text).SerializeToString() for text in texts]


async def count(channel: grpc.aio.Channel, send: Any, method: str, sent: list[bytes], **options: Any) -> Counter[str]:
    """Return how many of some equal streams end with each status."""
    return Counter([await send(channel, method, sent, **options) for _ in range(STREAMS)])


async def test_grpc_aio_loses_the_status() -> None:
    """If this test fails because no status is lost, `ClientMessages` is not needed any more.

    About half of the streams lose it with long messages, on busy machines too; with short ones, sometimes none does.
    """
    assert (await statuses(refuse, from_iterator, 2 * STREAMS, LONG_MESSAGE_BYTES))["INTERNAL"] > 0
    assert await statuses(refuse_after_the_last_message, from_iterator, STREAMS) == {"UNAVAILABLE": STREAMS}


@WAYS
async def test_streams_that_are_refused_at_once_keep_their_status(
    edges: Served, channel: grpc.aio.Channel, send: Any
) -> None:
    """From a draining server, for an unknown model, for a wrong header, and for an unknown method."""
    texts = ["1"] * 5
    assert await count(channel, send, STREAM, messages(*texts, model="other")) == {"NOT_FOUND": STREAMS}
    assert await count(channel, send, STREAM, messages(*texts)[1:]) == {"INVALID_ARGUMENT": STREAMS}
    assert await count(channel, send, "/rerank.v2.Rerank/Stream", messages(*texts)) == {"UNIMPLEMENTED": STREAMS}
    edges.core.admission.close()
    assert await count(channel, send, STREAM, messages(*texts)) == {"UNAVAILABLE": STREAMS}
    assert await count(channel, send, TEI, tei_messages(*texts)) == {"UNAVAILABLE": STREAMS}


@WAYS
async def test_streams_that_fail_later_keep_their_status(channel: grpc.aio.Channel, send: Any) -> None:
    """The server reads the next message while the error arises."""
    wrong = pb.RerankStreamRequest(documents=pb.DocumentChunk(documents=[pb.Document(json="{")])).SerializeToString()
    header, *others = messages(*(["1"] * 50))
    assert await count(channel, send, STREAM, [header, wrong, *others]) == {"INVALID_ARGUMENT": STREAMS}
    assert await count(channel, send, TEI, tei_messages(NAN, *(["1"] * 50))) == {"FAILED_PRECONDITION": STREAMS}


async def test_partial_rankings_keep_their_status(core: Running) -> None:
    """The cutoff comes after the first document, and the client writes on."""

    class AtOnce(Cutoff):
        def reserve_for(self, response_bytes: int) -> None:
            asyncio.get_running_loop().call_soon(self.trigger)

    header = pb.RerankStreamRequest(
        header=pb.RerankHeader(request=pb.RerankRequest(query="0"), partial_ok=True)
    ).SerializeToString()
    sent = [header, *messages(*(["1"] * 50))[1:]]
    async with served(core, cutoff=AtOnce) as edges, grpc.aio.insecure_channel(edges.address) as channel:
        assert await count(channel, from_iterator, STREAM, sent) == {"OK": STREAMS}


async def test_own_client_keeps_the_status(core: Running) -> None:
    """It stops to write when the status arrives, and so the server drops nothing."""
    codes: Counter[str] = Counter()
    async with observed(core) as (edges, recorder):
        core.admission.close()
        for _ in range(STREAMS):
            with pytest.raises(grpc.RpcError) as caught:
                await edges.client.rerank_stream("0", ["1 " * 500] * 300)
            codes[caught.value.code().name] += 1
            assert (await recorder.next()).received_bytes < 100  # the header
    assert codes == {"UNAVAILABLE": STREAMS}


async def test_end_of_a_call_does_not_wait_for_ever(
    edges: Served, channel: grpc.aio.Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For a client that waits, and for one that never ends."""
    monkeypatch.setattr(client_messages, "_MAX_SECONDS", 0.1)
    edges.core.admission.close()
    call: Any = channel.stream_stream(STREAM)()
    await call.write(messages()[0])
    assert await call.code() is grpc.StatusCode.UNAVAILABLE

    async def endless() -> AsyncIterator[bytes]:
        yield messages()[0]
        while True:
            yield messages("1 " * 50_000)[1]

    start: Any = channel.stream_stream(STREAM)
    await start(endless()).code()
    await until_idle(edges.core)


async def test_messages_of_strangers_are_not_read(core: Running) -> None:
    """They would take memory. The record of the call counts the bytes that were read."""
    async with (
        observed(core, keys=Keys(["sesame"])) as (edges, recorder),
        grpc.aio.insecure_channel(edges.address) as channel,
    ):
        for method in (STREAM, TEI, "/rerank.v2.Rerank/Stream"):
            await from_iterator(channel, method, messages("1"))
            assert (await recorder.next()).received_bytes == 0
