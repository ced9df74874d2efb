"""tei.v1 over a real port, called with the stubs that tei-client generated from TEI's own proto file."""

import asyncio
import math
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from tei_client.stubs import tei_pb2 as theirs
from tei_client.stubs import tei_pb2_grpc as their_grpc

import rerank_service
from rerank_service.api.auth import Keys
from rerank_service.engine.host import usable_cores
from rerank_service.models.bundle import Bundle
from support.grpc_calls import violation
from support.limits import request_limits
from support.running import Running, Served, running, served
from support.tei_calls import ranked, stream_request, unary_request

TOO_LONG = "1 " * 40


@pytest.fixture
async def stub(edges: Served) -> AsyncIterator[Any]:
    """The stub of tei.v1.Rerank."""
    async with grpc.aio.insecure_channel(edges.address) as channel:
        yield their_grpc.RerankStub(channel)


async def test_all_texts_are_ranked(stub: Any) -> None:
    """Texts with equal scores keep their order. A text is returned only if requested."""
    response = await stub.Rerank(unary_request(["1", "0", "2", "1"]))
    assert [rank.index for rank in response.ranks] == [2, 0, 3, 1]
    assert [rank.score for rank in response.ranks] == pytest.approx([1 / (1 + math.exp(-n)) for n in (2, 1, 1, 0)])
    assert not any(rank.HasField("text") for rank in response.ranks)
    response = await stub.Rerank(unary_request(["1", "", "2"], raw_scores=True, return_text=True))
    assert [(rank.index, rank.text, rank.score) for rank in response.ranks] == [(2, "2", 2), (0, "1", 1), (1, "", 0)]
    assert all(rank.HasField("text") for rank in response.ranks)


async def test_cost_is_in_metadata_and_response(stub: Any) -> None:
    """The metadata uses the names of TEI's HTTP headers."""
    call = stub.Rerank(unary_request(["1", "é 2", "1"], query="0 0"))
    headers = dict(await call.initial_metadata())
    cost = (await call).metadata
    assert (cost.compute_chars, cost.compute_tokens) == (3 * 3 + 1 + 3 + 1, 6 + 7)
    assert cost.total_time_ns >= cost.inference_time_ns > 0
    assert cost.tokenization_time_ns > 0
    assert (headers["x-compute-characters"], headers["x-compute-tokens"]) == ("14", "13")
    for name, nanoseconds in (
        ("x-compute-time", cost.total_time_ns),
        ("x-total-time", cost.total_time_ns),
        ("x-tokenization-time", cost.tokenization_time_ns),
        ("x-queue-time", cost.queue_time_ns),
        ("x-inference-time", cost.inference_time_ns),
    ):
        assert int(headers[name]) == round(nanoseconds / 1e6)


@pytest.mark.parametrize("sent", ["mine", None])
async def test_request_id_is_in_the_initial_metadata(stub: Any, sent: str | None) -> None:
    """The response has no field for it. An id that the client sends is kept."""
    metadata = (("x-request-id", sent),) if sent else ()
    calls = [
        stub.Rerank(unary_request(["1"]), metadata=metadata),
        stub.RerankStream(iter([stream_request("1")]), metadata=metadata),
    ]
    ids = [dict(await call.initial_metadata())["x-request-id"] for call in calls]
    assert all(ids)
    assert len(set(ids)) == (1 if sent else 2)
    assert sent in (None, *ids)
    for call in calls:
        await call


@pytest.mark.parametrize(
    ("request_", "field", "words"),
    [
        (unary_request([]), "texts", "texts must not be empty"),
        (unary_request(["1"], query=""), "query", "query must not be empty"),
        (unary_request(["1"], query=TOO_LONG), "query", "leaves too little room"),
        (unary_request(["1"], truncation_direction=5), "truncation_direction", "no value 5"),
        (unary_request(["1"] * 4), "texts", "texts has 4 entries; the maximum is 3"),
        (unary_request(["1", "2" * 101]), "texts[1]", "texts[1] has 101 characters; the maximum is 100"),
    ],
)
async def test_invalid_field_is_named(small_model: Bundle, request_: Any, field: str, words: str) -> None:
    """The status is INVALID_ARGUMENT, with TEI's name of the field. The next request works."""
    limits = request_limits(max_documents=3, max_document_chars=100)
    async with (
        running(small_model, limits=limits) as core,
        served(core) as edges,
        grpc.aio.insecure_channel(edges.address) as channel,
    ):
        stub = their_grpc.RerankStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.Rerank(request_)
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert violation(caught.value).field == field
        assert words in violation(caught.value).description
        assert ranked(await stub.Rerank(unary_request(["1"], raw_scores=True))) == [(0, 1)]


async def test_invalid_bytes_are_an_invalid_argument(edges: Served) -> None:
    """Unary calls and streams do the same."""
    garbage: Any = b"\xff\xff\xff"
    async with grpc.aio.insecure_channel(edges.address) as channel:
        calls: tuple[Any, ...] = (
            channel.unary_unary("/tei.v1.Rerank/Rerank")(garbage),
            channel.stream_unary("/tei.v1.Rerank/RerankStream")(iter([garbage])),
        )
        for call in calls:
            with pytest.raises(grpc.aio.AioRpcError, match=r"is not a valid tei\.v1\.Rerank") as caught:
                await call
            assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_statuses_of_overload_drain_and_deadline(small_model: Bundle) -> None:
    """RESOURCE_EXHAUSTED, UNAVAILABLE and DEADLINE_EXCEEDED, for unary calls and streams."""
    async with (
        running(small_model, max_live_documents=1) as core,
        served(core) as edges,
        grpc.aio.insecure_channel(edges.address) as channel,
    ):
        stub = their_grpc.RerankStub(channel)

        async def code(call: Any) -> grpc.StatusCode:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call
            return caught.value.code()

        core.score.hold()
        first = asyncio.ensure_future(stub.Rerank(unary_request(["1"])))
        await core.score.started()
        assert await code(stub.Rerank(unary_request(["1"]))) is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert (
            await code(stub.RerankStream(iter([stream_request("2")]), timeout=0.2)) is grpc.StatusCode.DEADLINE_EXCEEDED
        )
        core.admission.close()
        assert await code(stub.Rerank(unary_request(["1"]))) is grpc.StatusCode.UNAVAILABLE
        assert await code(stub.RerankStream(iter([stream_request("1")]))) is grpc.StatusCode.UNAVAILABLE
        core.score.release()
        await first


async def test_api_key_is_required(core: Running) -> None:
    """Rerank, RerankStream and Info need `authorization: Bearer KEY`.

    A refused stream sends no message, because grpc.aio may lose the status while it writes.
    """
    async with served(core, keys=Keys(["sesame"])) as edges, grpc.aio.insecure_channel(edges.address) as channel:
        reranker, info = their_grpc.RerankStub(channel), their_grpc.InfoStub(channel)
        unary, described = unary_request(["1"]), theirs.InfoRequest()
        for call, refused, accepted in (
            (reranker.Rerank, unary, unary),
            (reranker.RerankStream, (), [stream_request("1")]),
            (info.Info, described, described),
        ):
            for wrong in ((), (("authorization", "Bearer other"),)):
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await call(refused, metadata=wrong)
                assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
            await call(accepted, metadata=(("authorization", "Bearer sesame"),))


async def test_info_describes_the_model_and_the_limits(edges: Served) -> None:
    """tei-client checks before it ranks that the model is a reranker."""
    async with grpc.aio.insecure_channel(edges.address) as channel:
        info = await their_grpc.InfoStub(channel).Info(theirs.InfoRequest())
    assert info == theirs.InfoResponse(
        version=rerank_service.__version__,
        model_id="small",
        model_dtype="float32",
        model_type=theirs.MODEL_TYPE_RERANKER,
        max_concurrent_requests=10_000,
        max_input_length=32,
        max_batch_tokens=edges.core.model.info.max_batch_tokens,
        max_client_batch_size=10_000,
        tokenization_workers=usable_cores(),
    )
