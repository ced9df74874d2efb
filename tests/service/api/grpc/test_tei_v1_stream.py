"""The stream of tei.v1 over a real port, called with the stubs of tei-client."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import grpc
import pytest
from tei_client.stubs import tei_pb2 as theirs
from tei_client.stubs import tei_pb2_grpc as their_grpc

from rerank_service.encoding.template import Template
from rerank_service.models.bundle import Bundle
from support.grpc_calls import until_idle
from support.limits import request_limits
from support.running import Served, running, served
from support.small import BOOM, NAN, write_small_model
from support.tei_calls import ranked, stream_request, unary_request


@pytest.fixture
async def stub(edges: Served) -> AsyncIterator[Any]:
    """The stub of tei.v1.Rerank."""
    async with grpc.aio.insecure_channel(edges.address) as channel:
        yield their_grpc.RerankStub(channel)


async def test_options_of_the_first_message_apply(stub: Any) -> None:
    """`raw_scores` and `return_text` of later messages have no effect."""
    messages = [
        stream_request("1", raw_scores=True, return_text=True),
        stream_request("3"),
        stream_request("2", raw_scores=False),
    ]
    response = await stub.RerankStream(iter(messages))
    assert [(rank.index, rank.text, rank.score) for rank in response.ranks] == [(1, "3", 3), (2, "2", 2), (0, "1", 1)]
    assert response.metadata.compute_chars == 6
    response = await stub.RerankStream(
        iter([stream_request("1"), stream_request("3", raw_scores=True, return_text=True)])
    )
    assert [rank.index for rank in response.ranks] == [1, 0]
    assert all(rank.score < 1 and not rank.HasField("text") for rank in response.ranks)


async def test_long_text_is_cut_or_rejected(stub: Any) -> None:
    """The query leaves 28 tokens for a text. In TEI's proto, `truncate` is false by default."""
    texts = ["1", " ".join(["1"] * 20 + ["2"] * 20)]
    left = theirs.TRUNCATION_DIRECTION_LEFT
    assert ranked(await stub.Rerank(unary_request(texts, raw_scores=True, truncate=True)))[0] == (1, 20 + 8 * 2)
    cut_left = await stub.Rerank(unary_request(texts, raw_scores=True, truncate=True, truncation_direction=left))
    assert ranked(cut_left)[0] == (1, 8 + 20 * 2)
    for call in (stub.Rerank(unary_request(texts)), stub.RerankStream(iter([stream_request(text) for text in texts]))):
        with pytest.raises(
            grpc.aio.AioRpcError, match=r"texts\[1\] is too long: beside this query, at most 28 tokens"
        ) as caught:
            await call
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    messages = [
        stream_request(texts[1], raw_scores=True, truncate=True),
        stream_request(texts[1], truncate=True, truncation_direction=left),
        stream_request(texts[0]),
    ]
    assert ranked(await stub.RerankStream(iter(messages))) == [(1, 48), (0, 36), (2, 1)]


@pytest.fixture(scope="module")
def adding(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The small model, which adds the numbers of the query to those of the text."""
    template = Template(before=("{query} ",), document="{document}")
    return write_small_model(tmp_path_factory.mktemp("models") / "adding", template=template)


async def test_each_text_has_its_own_query(adding: Bundle) -> None:
    """All texts are ranked together, as TEI does. Equal scores are in the order of their logits."""
    async with (
        running(adding) as core,
        served(core) as edges,
        grpc.aio.insecure_channel(edges.address) as channel,
    ):
        stub = their_grpc.RerankStub(channel)
        messages = [
            stream_request("1", query="50", return_text=True),
            stream_request("9", query="50"),
            stream_request("2", query="90"),
            stream_request("1", query="1"),
            stream_request("9", query="50"),
        ]
        response = await stub.RerankStream(iter(messages))
        assert [(rank.index, rank.text) for rank in response.ranks] == [
            (2, "2"),
            (1, "9"),
            (4, "9"),
            (0, "1"),
            (3, "1"),
        ]
        assert [rank.score for rank in response.ranks[:4]] == [1.0] * 4
        cost = response.metadata
        assert (cost.compute_chars, cost.compute_tokens) == (14, 8)  # equal pairs are scored once
        assert cost.total_time_ns >= cost.inference_time_ns > 0


async def test_texts_with_different_options_share_a_batch(edges: Served, stub: Any) -> None:
    """While one text is scored, those of other queries and truncations are read, and wait together."""
    core = edges.core
    core.score.hold()
    call = stub.RerankStream()
    await call.write(stream_request("1"))
    await core.score.started()
    for number in range(8):
        await call.write(stream_request("2 3", query=str(number), truncate=number % 2 == 0))
    await call.done_writing()
    while core.model.scheduler.waiting < 8:
        await asyncio.sleep(0.001)
    core.score.release()
    assert len((await call).ranks) == 9
    assert [len(batch) for batch in core.score.batches] == [1, 8]


async def test_accepted_stream_goes_on_while_the_server_drains(edges: Served, stub: Any) -> None:
    """A new query is no new request."""
    core = edges.core
    core.score.hold()
    call = stub.RerankStream()
    await call.write(stream_request("1"))
    await core.score.started()
    core.admission.close()
    await call.write(stream_request("2", query="1", truncate=True))
    await call.done_writing()
    core.score.release()
    assert [rank.index for rank in (await call).ranks] == [1, 0]


LONG = " ".join(["1"] * 40)


@pytest.mark.parametrize(
    ("last", "words"),
    [
        (stream_request(LONG, query="1"), r"texts\[2\] is too long: beside this query, at most 28 tokens"),
        (stream_request("1", query=LONG), "query has 40 tokens and leaves too little room"),
        (stream_request("1", query="1" * 100_001), "query has 100,001 characters"),
    ],
    ids=["text", "query tokens", "query characters"],
)
async def test_options_of_each_text_are_checked(stub: Any, last: Any, words: str) -> None:
    """A text without `truncate` must fit, whatever the texts before it allow."""
    with pytest.raises(grpc.aio.AioRpcError, match=words) as caught:
        await stub.RerankStream(iter([stream_request("1", truncate=True), stream_request(LONG, truncate=True), last]))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_long_query_of_a_text_is_cut_on_its_side(adding: Bundle) -> None:
    """The header of the response says that a query was cut. Each text counts the tokens of its query that are left."""
    query = " ".join(["1"] * 20 + ["2"] * 20)
    left = theirs.TRUNCATION_DIRECTION_LEFT
    async with (
        running(adding) as core,
        served(core) as edges,
        grpc.aio.insecure_channel(edges.address) as channel,
    ):
        call = their_grpc.RerankStub(channel).RerankStream(
            iter(
                [
                    stream_request("1", query="1", raw_scores=True),
                    stream_request("1", query=query, truncate=True),
                    stream_request("1", query=query, truncate=True, truncation_direction=left),
                ]
            )
        )
        scores = dict(ranked(await call))
        assert scores[0] == 2
        assert scores[0] < scores[1] < scores[2]
        assert dict(await call.initial_metadata())["x-query-truncated"] == "true"


async def test_long_stream_keeps_its_indexes(stub: Any) -> None:
    """The stream exceeds the read-ahead buffer, and its query changes halfway."""
    count = 1_200
    messages = (stream_request(f"{n % 100} {n // 100}", query=str(n // 600), raw_scores=True) for n in range(count))
    response = await stub.RerankStream(messages)
    assert ranked(response)[:3] == [(1199, 110), (1099, 109), (1198, 109)]
    assert sorted(ranked(response)) == [(n, n % 100 + n // 100) for n in range(count)]


async def test_cancelled_stream_leaves_the_queue(edges: Served, stub: Any) -> None:
    """The client cancels while the first text is scored."""
    edges.core.score.hold()
    call = stub.RerankStream()
    await call.write(stream_request("1"))
    await edges.core.score.started()
    call.cancel()
    await until_idle(edges.core)


@pytest.mark.parametrize(
    ("messages", "words"),
    [
        ([], "at least one text"),
        ([stream_request("1"), stream_request("1", query="")], "query must not be empty"),
        ([stream_request("1"), stream_request("1", truncation_direction=5)], "no value 5"),
        (
            [stream_request("1"), stream_request("1", query="1"), stream_request("2" * 101, query="1")],
            r"texts\[2\] has 101 characters",
        ),
        ([stream_request("1")] * 5, "more than 4 texts"),
        ([stream_request("1", query=str(n)) for n in range(5)], "more than 4 texts"),
        (
            [stream_request("2" * 60, query=str(n), return_text=True) for n in range(4)],
            "return_text would keep more than 200",
        ),
    ],
)
async def test_invalid_stream_is_rejected(small_model: Bundle, messages: Sequence[Any], words: str) -> None:
    """An empty stream too, for which TEI divides by zero. Limits apply to the whole stream, not to each query."""
    limits = request_limits(max_stream_documents=4, max_document_chars=100, max_kept_bytes=200, part_chars=256 * 50)
    async with (
        running(small_model, limits=limits) as core,
        served(core) as edges,
        grpc.aio.insecure_channel(edges.address) as channel,
    ):
        with pytest.raises(grpc.aio.AioRpcError, match=words) as caught:
            await their_grpc.RerankStub(channel).RerankStream(iter(messages))
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        await until_idle(core)


@pytest.mark.parametrize("word", [NAN, BOOM])
async def test_failure_of_the_model_is_a_failed_precondition(stub: Any, word: str) -> None:
    """TEI's Backend errors have this status. The index counts from the first text of the call."""
    with pytest.raises(grpc.aio.AioRpcError, match=r"texts\[1\]") as caught:
        await stub.Rerank(unary_request(["1", word, "2"]))
    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    with pytest.raises(grpc.aio.AioRpcError, match=r"texts\[2\]") as caught:
        await stub.RerankStream(
            iter([stream_request("1"), stream_request("1", query="1"), stream_request(word, query="1")])
        )
    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
