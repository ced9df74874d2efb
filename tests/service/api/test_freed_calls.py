"""A call that ends with an error is freed at once: no reference cycle keeps its messages until a full collection."""

from collections.abc import AsyncIterator, Awaitable, Callable
from types import FrameType

import grpc
import pytest

from rerank.tei import tei_pb2
from rerank.v1 import rerank_pb2 as pb
from rerank.v1.rerank_pb2_grpc import RerankStub
from rerank_service.models.bundle import Bundle
from support.garbage import kept_garbage
from support.running import Served, running, served

_CALLS = 3
_TEXT = "word " * 2_000
_WITHOUT_CONTENT = pb.RerankRequest(query="q", documents=[pb.Document(text=_TEXT), pb.Document()])
_HEADER = pb.RerankStreamRequest(header=pb.RerankHeader(request=pb.RerankRequest(query="q")))
_TEI = tei_pb2.RerankStreamRequest(query="q", text="word")
_LONG_TEI = tei_pb2.RerankStreamRequest(query="q", text=_TEXT)
_CHUNK = pb.RerankStreamRequest(documents=pb.DocumentChunk(documents=_WITHOUT_CONTENT.documents))


@pytest.fixture
async def server(small_model: Bundle) -> AsyncIterator[Served]:
    """Serve the small model."""
    async with running(small_model) as core, served(core) as both:
        yield both


async def _frames(call: Callable[[], Awaitable[object]]) -> set[str]:
    """Return the names of the service's frames that only a collection frees, after some calls."""
    await call()
    with kept_garbage() as garbage:
        for _ in range(_CALLS):
            await call()
    frames = [each for each in garbage if isinstance(each, FrameType)]
    return {frame.f_code.co_qualname for frame in frames if "/rerank_service/" in frame.f_code.co_filename}


@pytest.mark.parametrize(
    "body",
    [
        {"query": "q", "documents": [_TEXT, {}]},
        {"query": "q", "documents": [_TEXT], "top_n": "many"},
        {"query": _TEXT, "documents": []},
        {"query": "q", "documents": [_TEXT], "model": "none"},
    ],
    ids=["document", "top_n", "no documents", "model"],
)
async def test_failed_rest_request_is_freed(server: Served, body: dict[str, object]) -> None:
    """Also if it failed in a thread, in a task, or before it was ranked."""

    async def call() -> None:
        response = await server.http.post("/v1/rerank", json=body)
        assert response.is_client_error

    assert not await _frames(call)


@pytest.mark.parametrize(
    ("method", "messages"),
    [
        ("rerank.v1.Rerank/RerankStream", [_HEADER.SerializeToString(), _CHUNK.SerializeToString()]),
        ("rerank.v1.Rerank/RerankStream", [b"\xff" * len(_TEXT)] * 3),
        ("rerank.v1.Rerank/RerankStream", [_CHUNK.SerializeToString()]),
        ("rerank.v1.Rerank/Rerank", []),
        ("rerank.v1.Rerank/Unknown", [_TEXT.encode()]),
        ("tei.v1.Rerank/RerankStream", [_TEI.SerializeToString(), b"\xff" * len(_TEXT)]),
        ("tei.v1.Rerank/RerankStream", [_LONG_TEI.SerializeToString(), b"\xff" * len(_TEXT)]),
        ("grpc.health.v1.Health/Check", [_TEXT.encode()]),
        ("grpc.health.v1.Health/Watch", [_TEXT.encode()]),
        ("grpc.reflection.v1.ServerReflection/ServerReflectionInfo", [_TEXT.encode()]),
    ],
    ids=[
        "document",
        "undecodable",
        "no header",
        "no message",
        "unknown method",
        "tei",
        "tei, too long",
        "health",
        "watch",
        "reflection",
    ],
)
async def test_failed_stream_is_freed(server: Served, method: str, messages: list[bytes]) -> None:
    """Its messages may have 64 MiB each."""
    async with grpc.aio.insecure_channel(server.address) as channel:
        stream: grpc.aio.StreamStreamMultiCallable[bytes, bytes]
        stream = channel.stream_stream(f"/{method}")

        async def call() -> None:
            with pytest.raises(grpc.aio.AioRpcError):
                async for _ in stream(iter(messages)):
                    pass

        assert not await _frames(call)


async def test_failed_unary_call_is_freed(server: Served) -> None:
    """An invalid document is found by a thread of the tokenizer."""
    async with grpc.aio.insecure_channel(server.address) as channel:

        async def call() -> None:
            with pytest.raises(grpc.aio.AioRpcError, match="has no content"):
                await RerankStub(channel).Rerank(_WITHOUT_CONTENT)

        assert not await _frames(call)
