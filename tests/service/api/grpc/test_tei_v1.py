"""tei.v1 over a real port, asked with the stubs that tei-client made of TEI's own proto."""

import asyncio
import math
import subprocess
import sys
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from tei_client.stubs import tei_pb2 as theirs
from tei_client.stubs import tei_pb2_grpc as their_grpc

import rerank_service
from rerank.tei import tei_pb2 as ours
from rerank_service.api.auth import Keys
from rerank_service.encoding.template import Template
from rerank_service.engine.host import usable_cores
from rerank_service.models.bundle import Bundle
from support.limits import request_limits
from support.running import Running, Served, running, served
from support.small import BOOM, NAN, write_small_model

TOO_LONG = "1 " * 40
OURS_AND_THEIRS = ("rerank.tei.tei_pb2", "tei_client.stubs.tei_pb2")


@pytest.fixture
async def stub(edges: Served) -> AsyncIterator[Any]:
    """The reranker's stub."""
    async with grpc.aio.insecure_channel(edges.address) as channel:
        yield their_grpc.RerankStub(channel)


def ask(texts: Iterable[str], query: str = "0", **options: Any) -> Any:
    """A request."""
    return theirs.RerankRequest(query=query, texts=texts, **options)


def tell(text: str, query: str = "0", **options: Any) -> Any:
    """A message of a stream."""
    return theirs.RerankStreamRequest(query=query, text=text, **options)


def ranked(response: Any) -> list[tuple[int, float]]:
    """Indexes and scores."""
    return [(rank.index, rank.score) for rank in response.ranks]


async def test_texts_are_ranked(stub: Any) -> None:
    """All of them, the best first, equals as they were sent; texts only where they are asked for."""
    response = await stub.Rerank(ask(["1", "0", "2", "1"]))
    assert [rank.index for rank in response.ranks] == [2, 0, 3, 1]
    assert [rank.score for rank in response.ranks] == pytest.approx([1 / (1 + math.exp(-n)) for n in (2, 1, 1, 0)])
    assert not any(rank.HasField("text") for rank in response.ranks)
    response = await stub.Rerank(ask(["1", "", "2"], raw_scores=True, return_text=True))
    assert [(rank.index, rank.text, rank.score) for rank in response.ranks] == [(2, "2", 2), (0, "1", 1), (1, "", 0)]
    assert all(rank.HasField("text") for rank in response.ranks)


async def test_what_a_call_cost_is_told_twice(stub: Any) -> None:
    """In the response, and ahead of it under the names of TEI's headers."""
    call = stub.Rerank(ask(["1", "é 2", "1"], query="0 0"))
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


async def test_a_stream_is_ranked_as_its_first_message_says(stub: Any) -> None:
    """Later raw_scores and return_text do not count."""
    messages = [tell("1", raw_scores=True, return_text=True), tell("3"), tell("2", raw_scores=False)]
    response = await stub.RerankStream(iter(messages))
    assert [(rank.index, rank.text, rank.score) for rank in response.ranks] == [(1, "3", 3), (2, "2", 2), (0, "1", 1)]
    assert response.metadata.compute_chars == 6
    response = await stub.RerankStream(iter([tell("1"), tell("3", raw_scores=True, return_text=True)]))
    assert [rank.index for rank in response.ranks] == [1, 0]
    assert all(rank.score < 1 and not rank.HasField("text") for rank in response.ranks)


async def test_a_text_that_is_too_long_is_cut_where_asked_and_else_refused(stub: Any) -> None:
    """The window leaves 28 tokens. In TEI's proto `truncate` is false unless set."""
    texts = ["1", " ".join(["1"] * 20 + ["2"] * 20)]
    left = theirs.TRUNCATION_DIRECTION_LEFT
    assert ranked(await stub.Rerank(ask(texts, raw_scores=True, truncate=True)))[0] == (1, 20 + 8 * 2)
    cut_left = await stub.Rerank(ask(texts, raw_scores=True, truncate=True, truncation_direction=left))
    assert ranked(cut_left)[0] == (1, 8 + 20 * 2)
    for call in (stub.Rerank(ask(texts)), stub.RerankStream(iter([tell(text) for text in texts]))):
        with pytest.raises(grpc.aio.AioRpcError, match=r"texts\[1\] is too long: at most 28 tokens") as caught:
            await call
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    messages = [
        tell(texts[1], raw_scores=True, truncate=True),
        tell(texts[1], truncate=True, truncation_direction=left),
        tell(texts[0]),
    ]
    assert ranked(await stub.RerankStream(iter(messages))) == [(1, 48), (0, 36), (2, 1)]


@pytest.fixture(scope="module")
def adding(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The small model, adding the numbers of the query to the text's."""
    template = Template(before=("{query} ",), document="{document}")
    return write_small_model(tmp_path_factory.mktemp("models") / "adding", template=template)


async def test_each_text_of_a_stream_has_a_query_of_its_own(adding: Bundle) -> None:
    """As in TEI: ranked together, saturated scores in the order of their logits, and all of them counted."""
    async with (
        running(adding) as core,
        served(core) as edges,
        grpc.aio.insecure_channel(edges.address) as channel,
    ):
        stub = their_grpc.RerankStub(channel)
        messages = [
            tell("1", query="50", return_text=True),
            tell("9", query="50"),
            tell("2", query="90"),
            tell("1", query="1"),
            tell("9", query="50"),
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
        assert (cost.compute_chars, cost.compute_tokens) == (14, 10)
        assert cost.total_time_ns >= cost.inference_time_ns > 0


async def test_a_long_stream_keeps_its_indexes(stub: Any) -> None:
    """More than is read ahead at once, with a query that changes halfway."""
    count = 1_200
    messages = (tell(f"{n % 100} {n // 100}", query=str(n // 600), raw_scores=True) for n in range(count))
    response = await stub.RerankStream(messages)
    assert ranked(response)[:3] == [(1199, 110), (1099, 109), (1198, 109)]
    assert sorted(ranked(response)) == [(n, n % 100 + n // 100) for n in range(count)]


async def test_a_client_that_cancels_leaves_nothing(edges: Served, stub: Any) -> None:
    """While its first text is scored, and more are still to come."""
    edges.core.score.hold()
    call = stub.RerankStream()
    await call.write(tell("1"))
    await edges.core.score.started()
    call.cancel()
    while not edges.core.idle():
        await asyncio.sleep(0.001)


@pytest.mark.parametrize(
    ("request_", "field", "words"),
    [
        (ask([]), "texts", "texts must not be empty"),
        (ask(["1"], query=""), "query", "query must not be empty"),
        (ask(["1"], query=TOO_LONG), "query", "leaves no room"),
        (ask(["1"], truncation_direction=5), "truncation_direction", "no value 5"),
        (ask(["1"] * 4), "texts", "texts has 4 entries; at most 3"),
        (ask(["1", "2" * 101]), "texts[1]", "texts[1] has 101 characters; at most 100"),
    ],
)
async def test_a_wrong_field_is_named(small_model: Bundle, request_: Any, field: str, words: str) -> None:
    """INVALID_ARGUMENT, as TEI's Empty and Validation, by the name that the field has there; the next request works."""
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
        bad_request = error_details_pb2.BadRequest()
        packed = dict(caught.value.trailing_metadata())["grpc-status-details-bin"]
        assert status_pb2.Status.FromString(packed).details[0].Unpack(bad_request)
        assert bad_request.field_violations[0].field == field
        assert words in bad_request.field_violations[0].description
        assert ranked(await stub.Rerank(ask(["1"], raw_scores=True))) == [(0, 1)]


@pytest.mark.parametrize(
    ("messages", "words"),
    [
        ([], "at least one text"),
        ([tell("1"), tell("1", query="")], "query must not be empty"),
        ([tell("1"), tell("1", truncation_direction=5)], "no value 5"),
        ([tell("1"), tell("1", query="1"), tell("2" * 101, query="1")], r"texts\[2\] has 101 characters"),
        ([tell("1")] * 5, "more than 4 texts"),
        ([tell("1", query=str(n)) for n in range(5)], "more than 4 texts"),
        ([tell("2" * 60, query=str(n), return_text=True) for n in range(4)], "return_text would hold more than 200"),
    ],
)
async def test_a_stream_that_is_wrong_is_refused(small_model: Bundle, messages: Sequence[Any], words: str) -> None:
    """An empty one too, on which TEI divides by zero; bounds are those of the stream, whatever its queries."""
    limits = request_limits(max_stream_documents=4, max_document_chars=100, max_kept_bytes=200, part_chars=256 * 50)
    async with (
        running(small_model, limits=limits) as core,
        served(core) as edges,
        grpc.aio.insecure_channel(edges.address) as channel,
    ):
        with pytest.raises(grpc.aio.AioRpcError, match=words) as caught:
            await their_grpc.RerankStub(channel).RerankStream(iter(messages))
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        while not core.idle():
            await asyncio.sleep(0.001)


@pytest.mark.parametrize("word", [NAN, BOOM])
async def test_a_model_that_fails_is_a_failed_precondition(stub: Any, word: str) -> None:
    """As TEI's Backend errors; the text is named by its place in the call."""
    with pytest.raises(grpc.aio.AioRpcError, match=r"texts\[1\]") as caught:
        await stub.Rerank(ask(["1", word, "2"]))
    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    with pytest.raises(grpc.aio.AioRpcError, match=r"texts\[2\]") as caught:
        await stub.RerankStream(iter([tell("1"), tell("1", query="1"), tell(word, query="1")]))
    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION


async def test_bytes_that_are_no_message_are_invalid(edges: Served) -> None:
    """In a unary call and in a stream."""
    garbage: Any = b"\xff\xff\xff"
    async with grpc.aio.insecure_channel(edges.address) as channel:
        calls: tuple[Any, ...] = (
            channel.unary_unary("/tei.v1.Rerank/Rerank")(garbage),
            channel.stream_unary("/tei.v1.Rerank/RerankStream")(iter([garbage])),
        )
        for call in calls:
            with pytest.raises(grpc.aio.AioRpcError, match=r"these bytes are no tei\.v1\.Rerank") as caught:
                await call
            assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_full_server_a_draining_one_and_a_deadline(small_model: Bundle) -> None:
    """RESOURCE_EXHAUSTED, UNAVAILABLE, DEADLINE_EXCEEDED."""
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
        first = asyncio.ensure_future(stub.Rerank(ask(["1"])))
        await core.score.started()
        assert await code(stub.Rerank(ask(["1"]))) is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert await code(stub.RerankStream(iter([tell("2")]), timeout=0.2)) is grpc.StatusCode.DEADLINE_EXCEEDED
        core.admission.close()
        assert await code(stub.Rerank(ask(["1"]))) is grpc.StatusCode.UNAVAILABLE
        assert await code(stub.RerankStream(iter([tell("1")]))) is grpc.StatusCode.UNAVAILABLE
        core.score.release()
        await first


async def test_keys_are_asked_for(core: Running) -> None:
    """Of Rerank and of Info, with `authorization: Bearer KEY`."""
    async with served(core, keys=Keys(["sesame"])) as edges, grpc.aio.insecure_channel(edges.address) as channel:
        reranker, info = their_grpc.RerankStub(channel), their_grpc.InfoStub(channel)
        for call, message in (
            (reranker.Rerank, lambda: ask(["1"])),
            (reranker.RerankStream, lambda: iter([tell("1")])),
            (info.Info, theirs.InfoRequest),
        ):
            for wrong in ((), (("authorization", "Bearer other"),)):
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await call(message(), metadata=wrong)
                assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
            await call(message(), metadata=(("authorization", "Bearer sesame"),))


async def test_info_tells_the_model_and_the_limits(edges: Served) -> None:
    """What tei-client asks for before it ranks: a reranker."""
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


async def test_health_and_reflection_know_the_services(edges: Served) -> None:
    """Reflection gives TEI's names under TEI's file name, and rerank.v1 with all that it imports, as before."""
    async with grpc.aio.insecure_channel(edges.address) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        for ready, status in ((True, "SERVING"), (False, "NOT_SERVING")):
            await edges.grpc.set_ready(ready=ready)
            for name in ("tei.v1.Rerank", "tei.v1.Info"):
                answer = await health.Check(health_pb2.HealthCheckRequest(service=name))
                assert health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status) == status
        assert {"tei.v1.Rerank", "tei.v1.Info", "rerank.v1.Rerank"} <= await _listed(channel)
        for symbol, names in (
            ("tei.v1.Rerank", {"tei.proto"}),
            ("rerank.v1.Rerank", {"google/protobuf/duration.proto", "google/protobuf/struct.proto"}),
            ("grpc.health.v1.Health", set()),
        ):
            pool = await _described(channel, symbol)
            for name in names:
                pool.FindFileByName(name)
            pool.FindServiceByName(symbol)


async def _listed(channel: grpc.aio.Channel) -> set[str]:
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    stub = reflection_pb2_grpc.ServerReflectionStub(channel)
    answer = await anext(aiter(stub.ServerReflectionInfo(iter([request]))))
    return {service.name for service in answer.list_services_response.service}


async def _described(channel: grpc.aio.Channel, symbol: str) -> DescriptorPool:
    """What a client such as grpcurl makes of the answer."""
    request = reflection_pb2.ServerReflectionRequest(file_containing_symbol=symbol)
    stub = reflection_pb2_grpc.ServerReflectionStub(channel)
    answer = await anext(aiter(stub.ServerReflectionInfo(iter([request]))))
    pool = DescriptorPool()
    for file in reversed(answer.file_descriptor_response.file_descriptor_proto):
        pool.AddSerializedFile(file)
    return pool


def test_names_and_numbers_are_teis() -> None:
    """Every message, enum and service here is theirs to the letter."""
    proto, tei = FileDescriptorProto(), FileDescriptorProto()
    ours.DESCRIPTOR.CopyToProto(proto)
    theirs.DESCRIPTOR.CopyToProto(tei)
    assert (proto.name, proto.package) == (tei.name, tei.package)
    for mine, all_of_them in (
        (proto.message_type, tei.message_type),
        (proto.enum_type, tei.enum_type),
        (proto.service, tei.service),
    ):
        known = {one.name: one for one in all_of_them}
        assert mine
        for one in mine:
            assert one == known[one.name]


@pytest.mark.parametrize("modules", [OURS_AND_THEIRS, OURS_AND_THEIRS[::-1]])
def test_a_program_can_hold_both(modules: Sequence[str]) -> None:
    """TEI's generated module and ours, whichever comes first, each read by the other."""
    code = f"""
import importlib
one, other = map(importlib.import_module, {modules!r})
sent = one.RerankRequest(query="q", texts=["a"], truncate=True, truncation_direction=one.TRUNCATION_DIRECTION_LEFT)
read = other.RerankRequest.FromString(sent.SerializeToString())
assert (read.query, list(read.texts), read.truncate, read.truncation_direction) == ("q", ["a"], True, 1)
assert one.RerankRequest.FromString(read.SerializeToString()) == sent
"""
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)
