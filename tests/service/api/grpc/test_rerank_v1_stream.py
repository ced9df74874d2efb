"""The stream of rerank.v1 over a real port: order of messages, partial scores, partial ranking, flow control."""

import asyncio
from collections.abc import AsyncIterator, Iterable

import grpc
import pytest

from rerank.v1 import rerank_pb2 as pb
from rerank.v1 import rerank_pb2_grpc as pb_grpc
from rerank_service.models.bundle import Bundle
from rerank_service.ranking.document import MAX_ID_CHARS
from rerank_service.scheduling.deadline import Deadline
from rerank_service.scheduling.partial_cutoff import Cutoff
from support.grpc_calls import until_idle
from support.limits import request_limits
from support.running import Running, Served, running, served


def _messages(*parts: pb.RerankHeader | pb.DocumentChunk) -> Iterable[pb.RerankStreamRequest]:
    return [
        pb.RerankStreamRequest(header=part)
        if isinstance(part, pb.RerankHeader)
        else pb.RerankStreamRequest(documents=part)
        for part in parts
    ]


HEADER = pb.RerankHeader(request=pb.RerankRequest(query="0"))


CHUNK = pb.DocumentChunk(documents=[pb.Document(text="1")])


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ((), "first message of a stream must be the header"),
        ((CHUNK,), "first message of a stream must be the header"),
        ((HEADER, CHUNK, HEADER), "must contain documents"),
        ((HEADER,), "documents must not be empty"),
        ((HEADER, pb.DocumentChunk()), "documents must not be empty"),
        ((HEADER, CHUNK, pb.DocumentChunk(documents=[pb.Document()])), r"documents\[1\]"),
        ((pb.RerankHeader(),), "query must not be empty"),
    ],
)
async def test_stream_with_a_wrong_message_is_rejected(
    edges: Served, parts: tuple[pb.RerankHeader | pb.DocumentChunk, ...], words: str
) -> None:
    """The status is INVALID_ARGUMENT, and the message names the missing part.

    The last message is the wrong one: grpc.aio replaces the status if a write fails after the end of the call
    (github.com/grpc/grpc/issues/36066).
    """
    stub: pb_grpc.RerankAsyncStub = pb_grpc.RerankStub(edges.client._channel)
    with pytest.raises(grpc.aio.AioRpcError, match=words) as caught:
        async for _ in stub.RerankStream(iter(_messages(*parts))):
            pass
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert edges.core.idle()


async def test_indexes_start_with_the_documents_of_the_header(edges: Served) -> None:
    """Documents of later messages follow them."""
    header = pb.RerankHeader(request=pb.RerankRequest(query="0", documents=[pb.Document(text="1")]))
    stub: pb_grpc.RerankAsyncStub = pb_grpc.RerankStub(edges.client._channel)
    chunk = pb.DocumentChunk(documents=[pb.Document(text="3"), pb.Document(text="2")])
    responses = [response async for response in stub.RerankStream(iter(_messages(header, chunk, CHUNK)))]
    assert [response.last for response in responses] == [True]
    assert [result.index for result in responses[0].ranking.results] == [1, 2, 0, 3]


async def test_chunk_may_be_empty(edges: Served) -> None:
    """An empty chunk has no effect, before or after others."""
    stub: pb_grpc.RerankAsyncStub = pb_grpc.RerankStub(edges.client._channel)
    empty = pb.DocumentChunk()
    responses = [response async for response in stub.RerankStream(iter(_messages(HEADER, empty, CHUNK, empty)))]
    assert [result.index for result in responses[0].ranking.results] == [0]


async def test_stream_without_a_header_has_a_deadline(core: Running) -> None:
    """The default deadline of the server applies, because the client sets none."""
    async with served(core, default_timeout=0.05) as edges:
        stub: pb_grpc.RerankAsyncStub = pb_grpc.RerankStub(edges.client._channel)
        call = stub.RerankStream()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call.read()
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_partial_scores_arrive_before_the_ranking(edges: Served) -> None:
    """Scores of sent documents arrive while the stream is still open."""
    reported: asyncio.Queue[pb.PartialScore] = asyncio.Queue()

    async def documents() -> AsyncIterator[str | pb.Document]:
        yield pb.Document(text="5", id="x")
        first = await reported.get()
        assert (first.index, first.id, first.logit) == (0, "x", 5.0)
        yield "7"

    def report(scores: pb.PartialScores) -> None:
        for score in scores.scores:
            reported.put_nowait(score)

    ranking = await edges.client.rerank_stream("0", documents(), on_scores=report)
    assert [result.index for result in ranking.results] == [1, 0]
    assert (await reported.get()).index == 1


def test_client_may_write_everything_before_it_reads(small_model: Bundle) -> None:
    """20,000 documents, 256 pairs of room, a default client, a ranking over its 4 MiB: no deadlock."""
    count = 20_000

    async def serve_and_ask() -> list[pb.RerankStreamResponse]:
        limits = request_limits(room=256)
        async with running(small_model, limits=limits, lanes=2) as core, served(core) as edges:
            return await asyncio.to_thread(_write_then_read, edges.address, count)

    responses = asyncio.run(serve_and_ask())
    results = [result for response in responses for result in response.ranking.results]
    assert sum(response.ByteSize() for response in responses) > 4 * 1024 * 1024
    assert max(response.ByteSize() for response in responses) < 1024 * 1024
    assert [response.last for response in responses] == [False] * (len(responses) - 1) + [True]
    assert sorted(result.index for result in results) == list(range(count))
    assert responses[-1].ranking.usage.pairs == count
    assert [result.logit for result in results[:3]] == [199.0, 198.0, 198.0]


_ID_CHARS = 200
"""Length of the callers' ids, so that the ranking does not fit one message."""


def _write_then_read(address: str, count: int) -> list[pb.RerankStreamResponse]:
    """Write all documents, then read the responses."""
    written = asyncio.Event()

    def messages() -> Iterable[pb.RerankStreamRequest]:
        yield pb.RerankStreamRequest(header=HEADER)
        for start in range(0, count, 500):
            chunk = [
                pb.Document(text=f"{n % 100} {n // 100 % 100} {n // 10_000}", id=f"{n:0{_ID_CHARS}}")
                for n in range(start, start + 500)
            ]
            yield pb.RerankStreamRequest(documents=pb.DocumentChunk(documents=chunk))
        written.set()

    with grpc.insecure_channel(address) as channel:
        call = pb_grpc.RerankStub(channel).RerankStream(iter(messages()))
        call.initial_metadata()
        assert written.is_set()
        return list(call)


async def test_partial_scores_fit_the_default_message_size(edges: Served) -> None:
    """Duplicates with the longest ids are reported together, in several messages."""
    documents = [pb.Document(text="1", id="é" * MAX_ID_CHARS)] * 250
    chunks = [pb.DocumentChunk(documents=documents)] * 9
    header = pb.RerankHeader(request=pb.RerankRequest(query="0", top_n=1), partial_scores=True)
    stub: pb_grpc.RerankAsyncStub = pb_grpc.RerankStub(edges.client._channel)
    edges.core.score.hold()
    call = stub.RerankStream(iter(_messages(header, *chunks)))
    await edges.core.score.started()
    edges.core.score.release()
    sizes = [response.ByteSize() async for response in call]
    assert max(sizes) < 1024 * 1024
    assert sum(sizes) > 4 * 1024 * 1024


def _soon(deadline: Deadline) -> Cutoff:
    """Return a cutoff at 59.9 s before the deadline."""
    return Cutoff(Deadline(deadline.at - 59.9))


async def test_stream_with_partial_ok_gets_a_partial_ranking(core: Running) -> None:
    """Both documents are reported as unscored, because the model is held. The call ends with OK while the client could
    send more."""
    header = pb.RerankHeader(request=pb.RerankRequest(query="0"), partial_ok=True)
    chunk = pb.DocumentChunk(documents=[pb.Document(text="1"), pb.Document(text="2")])
    core.score.hold()
    async with served(core, cutoff=_soon) as edges:
        stub: pb_grpc.RerankAsyncStub = pb_grpc.RerankStub(edges.client._channel)
        call = stub.RerankStream()
        for message in _messages(header, chunk):
            await call.write(message)
        response = await call.read()
        assert isinstance(response, pb.RerankStreamResponse)
        assert (response.last, response.ranking.partial, response.ranking.received) == (True, True, 2)
        assert list(response.ranking.unscored) == [pb.IndexRange(start=0, end=2)]
        assert not response.ranking.results
        assert await call.read() == grpc.aio.EOF
        assert await call.code() is grpc.StatusCode.OK
        await until_idle(core)


async def test_deadline_reaches_a_client_that_reads_late(core: Running) -> None:
    """The deadline passes while a message waits for the client. The status follows when the client reads."""
    header = pb.RerankHeader(request=pb.RerankRequest(query="0"), partial_scores=True)
    chunk = pb.DocumentChunk(documents=[pb.Document(text="1", id="x" * MAX_ID_CHARS)] * 500)
    async with (
        served(core, default_timeout=0.5) as edges,
        grpc.aio.insecure_channel(edges.address, [("grpc.http2.bdp_probe", 0)]) as channel,
    ):
        stub: pb_grpc.RerankAsyncStub = pb_grpc.RerankStub(channel)
        call = stub.RerankStream()
        for message in _messages(header, chunk):
            await call.write(message)
        await asyncio.sleep(0.1)
        await until_idle(core)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            async with asyncio.timeout(10):
                while await call.read() is not grpc.aio.EOF:
                    pass
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
