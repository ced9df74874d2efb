"""Compressed gRPC messages: requests in gzip and deflate, and responses in gzip for calls that ask for it."""

from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from tei_client.stubs import tei_pb2_grpc

from rerank.client import AsyncRerankClient
from rerank.v1 import rerank_pb2 as pb
from rerank.v1 import rerank_pb2_grpc as pb_grpc
from rerank_service.api.grpc.compression import ASK
from support.http2_proxy import Http2Proxy, http2_proxy
from support.running import MAX_MESSAGE_BYTES, Running, Served, served
from support.tei_calls import unary_request

TEXT = "1 " * 10_000
"""A document of 20 KB, which gzip makes 100 times smaller."""
_OPTIONS = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_receive_message_length", -1)]
ASKED = ((ASK, "deflate, gzip"),)


@pytest.fixture
async def proxy(edges: Served) -> AsyncIterator[Http2Proxy]:
    """Yield a proxy to gRPC that counts bytes."""
    async with http2_proxy(edges.grpc.port) as proxy:
        yield proxy


def _request(**options: Any) -> pb.RerankRequest:
    return pb.RerankRequest(query="0", documents=[pb.Document(text=TEXT)], too_long=pb.TOO_LONG_CUT, **options)


def _channel(proxy: Http2Proxy, compression: grpc.Compression | None = None) -> grpc.aio.Channel:
    return grpc.aio.insecure_channel(f"127.0.0.1:{proxy.port}", options=_OPTIONS, compression=compression)


@pytest.mark.parametrize("compression", [grpc.Compression.Gzip, grpc.Compression.Deflate])
async def test_compressed_requests_are_accepted(proxy: Http2Proxy, compression: grpc.Compression) -> None:
    """Unary calls and streams."""
    async with _channel(proxy, compression) as channel:
        stub = pb_grpc.RerankStub(channel)
        response = await stub.Rerank(_request())
        header = pb.RerankStreamRequest(header=pb.RerankHeader(request=pb.RerankRequest(query="0")))
        chunk = pb.RerankStreamRequest(documents=pb.DocumentChunk(documents=[pb.Document(text=TEXT)]))
        responses = [part async for part in stub.RerankStream(iter([header, chunk]))]
    assert len(response.results) == len(responses[-1].ranking.results) == 1
    assert proxy.client.bytes < len(TEXT) / 2


@pytest.mark.parametrize("compression", [grpc.Compression.Gzip, grpc.Compression.Deflate])
async def test_size_limit_holds_after_decompression(edges: Served, compression: grpc.Compression) -> None:
    """A small message that becomes too large is refused, and the server continues to serve."""
    bomb = pb.RerankRequest(query="0", documents=[pb.Document(text="1" * 50 * MAX_MESSAGE_BYTES)])
    async with grpc.aio.insecure_channel(edges.address, options=_OPTIONS, compression=compression) as channel:
        with pytest.raises(grpc.aio.AioRpcError, match="larger than max") as caught:
            await pb_grpc.RerankStub(channel).Rerank(bomb)
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert await pb_grpc.RerankStub(channel).Rerank(_request())


@pytest.mark.parametrize(("metadata", "compressed"), [((), False), (((ASK, "br"),), False), (ASKED, True)])
async def test_response_is_compressed_if_the_call_asks(
    proxy: Http2Proxy, metadata: tuple[tuple[str, str], ...], compressed: bool
) -> None:
    """Python clients announce gzip always, so the announcement alone does not count."""
    async with _channel(proxy) as channel:
        response = await pb_grpc.RerankStub(channel).Rerank(_request(return_documents=True), metadata=metadata)
    assert response.results[0].document.text == TEXT
    assert (proxy.server.bytes < len(TEXT) / 2) is compressed


async def test_ranking_of_a_stream_is_compressed(proxy: Http2Proxy) -> None:
    """The small messages before it are not."""
    request = pb.RerankRequest(query="0", return_documents=True, too_long=pb.TOO_LONG_CUT)
    header = pb.RerankStreamRequest(header=pb.RerankHeader(request=request, partial_scores=True))
    chunk = pb.RerankStreamRequest(documents=pb.DocumentChunk(documents=[pb.Document(text=TEXT)]))
    async with _channel(proxy) as channel:
        stream = pb_grpc.RerankStub(channel).RerankStream(iter([header, chunk]), metadata=ASKED)
        responses = [part async for part in stream]
    assert responses[0].scores.scores[0].index == 0
    assert responses[-1].ranking.results[0].document.text == TEXT
    assert proxy.server.bytes < len(TEXT) / 2


async def test_small_response_and_error_of_a_call_that_asks(proxy: Http2Proxy) -> None:
    """They are sent as usual."""
    async with _channel(proxy) as channel:
        stub = pb_grpc.RerankStub(channel)
        response = await stub.Rerank(pb.RerankRequest(query="0", documents=[pb.Document(text="1")]), metadata=ASKED)
        assert response.results[0].logit == 1.0
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.Rerank(pb.RerankRequest(query=""), metadata=ASKED)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_large_response_is_not_compressed(core: Running) -> None:
    """Other calls would wait while gRPC compresses it."""
    text = "1 " * 200_000
    request = pb.RerankRequest(query="0", too_long=pb.TOO_LONG_CUT, return_documents=True)
    request.documents.extend(pb.Document(text=f"{at} {text}") for at in range(11))
    async with (
        served(core, max_message_bytes=2 * 1024 * 1024 * 11) as edges,
        http2_proxy(edges.grpc.port) as proxy,
        _channel(proxy) as channel,
    ):
        response = await pb_grpc.RerankStub(channel).Rerank(request, metadata=ASKED)
    assert len(response.results) == 11
    assert proxy.server.bytes > 11 * len(text)


async def test_python_client_compresses_both_directions(proxy: Http2Proxy) -> None:
    """With `compress=True`."""
    options = [("grpc.use_local_subchannel_pool", 1)]
    async with AsyncRerankClient(f"127.0.0.1:{proxy.port}", compress=True, options=options) as client:
        response = await client.rerank("0", [TEXT], return_documents=True, too_long=pb.TOO_LONG_CUT)
    assert response.results[0].document.text == TEXT
    assert proxy.client.bytes < len(TEXT) / 2
    assert proxy.server.bytes < len(TEXT) / 2


async def test_tei_response_is_compressed(proxy: Http2Proxy) -> None:
    """Its metadata is sent before the message."""
    async with _channel(proxy) as channel:
        call = tei_pb2_grpc.RerankStub(channel).Rerank(
            unary_request(["1 " * 500, "2 " * 500], truncate=True, return_text=True), metadata=ASKED
        )
        response = await call
        assert "x-compute-time" in {name for name, _ in await call.initial_metadata() or ()}
    assert len(response.ranks) == 2
    assert proxy.server.bytes < 1000
