"""rerank.v1 over a real port: unary calls and models."""

import asyncio
from typing import Any

import grpc
import pytest
from google.protobuf import json_format

from rerank.client import RerankClient
from rerank.v1 import rerank_pb2 as pb
from rerank.v1 import rerank_pb2_grpc as pb_grpc
from rerank_service.encoding.object_text import MAX_DEPTH
from rerank_service.models.bundle import Bundle
from rerank_service.ranking.document import MAX_ID_CHARS
from support.grpc_calls import violation
from support.running import MAX_MESSAGE_BYTES, Served, running, served
from support.small import BOOM, NAN


async def test_response_has_results_usage_and_timing(edges: Served) -> None:
    """Results have order, index, id and scores. The document is absent."""
    documents = [pb.Document(text="1", id="a"), pb.Document(text="0", id=""), pb.Document(text="2")]
    response = await edges.client.rerank("0", documents, top_n=2)
    assert [(result.index, result.logit) for result in response.results] == [(2, 2.0), (0, 1.0)]
    assert [result.id if result.HasField("id") else None for result in response.results] == [None, "a"]
    assert response.results[0].relevance_score == pytest.approx(0.8807970779778823)
    assert (response.model, response.usage.pairs, bool(response.id)) == ("small", 3, True)
    assert response.timing.total.ToNanoseconds() >= response.timing.inference.ToNanoseconds() > 0
    assert not response.results[0].HasField("document")


async def test_a_response_says_what_scored_it(edges: Served) -> None:
    """As the list of models does: replicas behind one address may differ. So does the ranking of a stream."""
    [model] = await edges.client.models()
    expected = pb.ModelVersion(digest=model.digest, provider=model.provider, precision=model.precision)
    assert expected.digest
    assert expected.provider == "CPUExecutionProvider"
    for response in (await edges.client.rerank("0", ["1"]), await edges.client.rerank_stream("0", ["1"])):
        assert response.model_version == expected


async def test_min_score_applies_to_the_requested_score_type(edges: Served) -> None:
    """Results below `min_score` are removed before `top_n` applies."""
    response = await edges.client.rerank("0", ["1", "2", "3"], score_type=pb.SCORE_TYPE_RAW, min_score=2, top_n=1)
    assert [result.relevance_score for result in response.results] == [3.0]
    response = await edges.client.rerank("0", ["1", "2", "3"], min_score=0.9)
    assert [result.index for result in response.results] == [2]


async def test_return_documents_keeps_the_form_of_each_document(edges: Served) -> None:
    """Text, JSON and object are returned as sent. A cut document is `truncated`."""
    sent = [pb.Document(text="5"), pb.Document(json='{"b": "3", "a": "1"}'), pb.Document(text="1 " * 40)]
    struct = pb.Document()
    json_format.ParseDict({"n": "1"}, struct.object)
    response = await edges.client.rerank("0", [*sent, struct], return_documents=True, max_tokens_per_doc=30)
    for result in response.results:
        assert result.document == [*sent, struct][result.index]
        assert result.truncated == (result.index == 2)


@pytest.mark.parametrize(
    ("request_", "field", "words"),
    [
        (pb.RerankRequest(documents=[pb.Document(text="1")]), "query", "must not be empty"),
        (pb.RerankRequest(query="0"), "documents", "must not be empty"),
        (pb.RerankRequest(query="0", documents=[pb.Document(text="1"), pb.Document()]), "documents[1]", "no content"),
        (pb.RerankRequest(query="0", documents=[pb.Document(json="{}")]), "documents[0]", "no field"),
        (pb.RerankRequest(query="0", documents=[pb.Document(json="[1]")]), "documents[0]", "JSON object"),
        (
            pb.RerankRequest(query="0", documents=[pb.Document(json='{"a": "1"}')], rank_fields=["b"]),
            "documents[0]",
            "none of the rank_fields b",
        ),
        (pb.RerankRequest(query="0", documents=[pb.Document(text="1")], top_n=-1), "top_n", "at least 0"),
        (
            pb.RerankRequest(query="0", documents=[pb.Document(text="1", id="i" * (MAX_ID_CHARS + 1))]),
            "documents[0].id",
            "at most 1,024",
        ),
        (
            pb.RerankRequest(query="0", documents=[pb.Document(text="1")], max_tokens_per_doc=-1),
            "max_tokens_per_doc",
            "at least 0",
        ),
        (
            pb.RerankRequest(query="0", documents=[pb.Document(text="1")], score_type=pb.ScoreType.ValueType(9)),
            "score_type",
            "no value 9",
        ),
        (
            pb.RerankRequest(query="0 " * 40, documents=[pb.Document(text="1")], too_long=pb.TOO_LONG_REFUSE),
            "query",
            "leaves too little room",
        ),
    ],
)
async def test_invalid_field_is_named(edges: Served, request_: pb.RerankRequest, field: str, words: str) -> None:
    """The status is INVALID_ARGUMENT, with the field in google.rpc.BadRequest. The next request works."""
    stub: pb_grpc.RerankAsyncStub = pb_grpc.RerankStub(edges.client._channel)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.Rerank(request_)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert violation(caught.value).field == field
    assert words in violation(caught.value).description
    assert len((await edges.client.rerank("0", ["1"])).results) == 1


async def test_unknown_model_is_not_found(edges: Served) -> None:
    """The message lists the served models."""
    with pytest.raises(grpc.aio.AioRpcError, match="served: small") as caught:
        await edges.client.rerank("0", ["1"], model="other")
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


@pytest.mark.parametrize("word", [NAN, BOOM])
async def test_document_on_which_the_model_fails_is_named(edges: Served, word: str) -> None:
    """The status is INTERNAL, with the index of the document. The next request works."""
    with pytest.raises(grpc.aio.AioRpcError, match=r"documents\[1\]") as caught:
        await edges.client.rerank("0", ["1", word, "2"])
    assert caught.value.code() is grpc.StatusCode.INTERNAL
    assert len((await edges.client.rerank("0", ["1"])).results) == 1


def _nested(levels: int) -> pb.Document:
    value: dict[str, Any] = {"leaf": "1"}
    for _ in range(levels - 1):
        value = {"a": value}
    document = pb.Document()
    document.object.update(value)
    return document


async def test_accepted_struct_can_be_returned(edges: Served) -> None:
    """An object of the maximum depth is returned. One more level is rejected."""
    response = await edges.client.rerank("0", [_nested(MAX_DEPTH)], return_documents=True)
    assert response.results[0].document == _nested(MAX_DEPTH)
    with pytest.raises(grpc.aio.AioRpcError, match="levels deep"):
        await edges.client.rerank("0", [_nested(MAX_DEPTH + 1)])


async def test_models_are_listed_and_found(edges: Served) -> None:
    """A model has its limits, by ListModels and by GetModel."""
    (model,) = await edges.client.models()
    assert (model.name, model.max_tokens, model.max_documents, model.ready) == ("small", 32, 10_000, True)
    assert (model.provider, model.precision, len(model.digest)) == ("CPUExecutionProvider", "fp32", 64)
    assert model.max_message_bytes == MAX_MESSAGE_BYTES
    assert model.verdict == "not verified", "nobody has exported it"
    stub: pb_grpc.RerankAsyncStub = pb_grpc.RerankStub(edges.client._channel)
    assert await stub.GetModel(pb.GetModelRequest(name="default")) == model
    with pytest.raises(grpc.aio.AioRpcError, match="served: small"):
        await stub.GetModel(pb.GetModelRequest(name="other"))


def test_blocking_client_ranks_and_lists_models(small_model: Bundle) -> None:
    """It makes unary calls and streams."""

    async def serve_and_ask() -> None:
        async with running(small_model) as core, served(core) as edges:
            await asyncio.to_thread(_ask, edges.address)

    def _ask(address: str) -> None:
        reported: list[int] = []
        with RerankClient(address) as client:
            assert [result.index for result in client.rerank("0", ["1", "2"]).results] == [1, 0]
            ranking = client.rerank_stream(
                "0",
                map(str, range(99)),
                top_n=1,
                on_scores=lambda scores: reported.extend(score.index for score in scores.scores),
            )
            assert [result.index for result in ranking.results] == [98]
            assert sorted(reported) == list(range(99))
            assert [model.name for model in client.models()] == ["small"]

    asyncio.run(serve_and_ask())
