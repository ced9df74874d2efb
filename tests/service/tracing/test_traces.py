"""Traces of requests over gRPC and REST, as a real OTLP receiver gets them."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from typing import Any

import grpc
import orjson
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from opentelemetry.instrumentation.grpc import GrpcInstrumentorClient
from opentelemetry.sdk.trace import TracerProvider
from structlog.testing import capture_logs
from tei_client.stubs import tei_pb2_grpc as tei_grpc

from rerank.client import AsyncRerankClient, RerankClient
from rerank.v1 import rerank_pb2 as pb
from rerank.v1 import rerank_pb2_grpc as pb_grpc
from rerank_service.api.auth import Keys, KnownKey, digest
from rerank_service.api.http.dialects import all_dialects
from rerank_service.api.http.observed_app import UNOBSERVED
from rerank_service.api.http.playground.routes import FILES
from rerank_service.api.ranking_observation import MAX_TEXT_CHARS, MAX_TEXTS
from rerank_service.models.bundle import Bundle
from rerank_service.scheduling.caller import Caller
from support.canaries import NAMES, canaries
from support.grpc_calls import until_idle
from support.http import post
from support.otlp import OtlpReceiver, ReceivedSpan, grpc_receiver
from support.running import MAX_MESSAGE_BYTES, Running, running
from support.tei_calls import stream_request, unary_request
from support.traced import NOT_SAMPLED, SAMPLED, SPAN_ID, TRACE_ID, Traced, traced

BODY = {"query": "0", "documents": ["1", "2", "1"]}
MESSAGE = pb.RerankRequest(query="0", documents=[pb.Document(text=text) for text in ("1", "2", "1")])
KEYS = Keys((), [KnownKey(digest("sesame"), Caller("search"))])
STAGES = {"admission", "tokenize", "queue", "inference"}


@pytest.fixture(scope="module")
def shared_receiver() -> Iterator[OtlpReceiver]:
    """Yield the receiver of all tests."""
    with grpc_receiver() as receiver:
        yield receiver


@pytest.fixture
def receiver(shared_receiver: OtlpReceiver, monkeypatch: pytest.MonkeyPatch) -> OtlpReceiver:
    """Return a receiver without spans, which the variables name."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", shared_receiver.endpoint)
    shared_receiver.requests.clear()
    return shared_receiver


@pytest.fixture
async def parts(core: Running, receiver: OtlpReceiver) -> AsyncIterator[Traced]:
    """Yield servers whose requests are traced."""
    async with traced(core, receiver) as both:
        yield both


async def _grpc(parts: Traced, **metadata: str) -> pb.RerankResponse:
    async with grpc.aio.insecure_channel(parts.edges.address) as channel:
        return await pb_grpc.RerankStub(channel).Rerank(MESSAGE, metadata=tuple(metadata.items()))


def _within(child: ReceivedSpan, parent: ReceivedSpan) -> bool:
    own, outer = child.message, parent.message
    return outer.start_time_unix_nano <= own.start_time_unix_nano <= own.end_time_unix_nano <= outer.end_time_unix_nano


async def test_rest_request_has_a_span_with_its_stages(parts: Traced) -> None:
    """The names are those of OpenTelemetry's semantic conventions for HTTP and generative AI, and OpenInference's."""
    sent = {"traceparent": SAMPLED, "tracestate": "vendor=1", "x-request-id": "mine", "user-agent": "probe/1"}
    response = await post(parts.edges, BODY | {"model": "small", "top_n": 2}, **sent)
    span, stages = await parts.request()
    assert span.name == "POST /v2/rerank"
    assert (span.message.trace_id.hex(), span.message.parent_span_id.hex()) == (TRACE_ID, SPAN_ID)
    assert span.message.trace_state == "vendor=1"
    assert span.attributes == {
        "http.request.method": "POST",
        "url.path": "/v2/rerank",
        "url.scheme": "http",
        "http.route": "/v2/rerank",
        "http.response.status_code": 200,
        "client.address": "127.0.0.1",
        "user_agent.original": "probe/1",
        "rerank.request.id": "mine",
        "rerank.dialect": "cohere_v2",
        "gen_ai.operation.name": "rerank",
        "gen_ai.provider.name": "rerank-service",
        "gen_ai.request.model": "small",
        "gen_ai.response.model": "small",
        "gen_ai.usage.input_tokens": span.attributes["gen_ai.usage.input_tokens"],
        "rerank.documents": 3,
        "openinference.span.kind": "RERANKER",
        "reranker.model_name": "small",
        "reranker.top_k": 2,
    }
    assert span.attributes["gen_ai.usage.input_tokens"] > 0
    assert response.status_code == 200
    assert not span.is_error
    assert stages.keys() == STAGES
    assert all(_within(stage, span) for stage in stages.values())
    starts = [stages[name].message.start_time_unix_nano for name in ("admission", "tokenize", "queue", "inference")]
    assert starts == sorted(starts)
    assert stages["inference"].attributes["rerank.busy_seconds"] > 0


async def test_grpc_request_has_a_span_with_its_stages(parts: Traced) -> None:
    """The names are those of the conventions for RPC: the method is fully qualified, the status is its name."""
    response = await _grpc(parts, traceparent=SAMPLED, tracestate="vendor=1")
    span, stages = await parts.request()
    assert span.name == "rerank.v1.Rerank/Rerank"
    assert (span.message.trace_id.hex(), span.message.parent_span_id.hex()) == (TRACE_ID, SPAN_ID)
    assert span.message.trace_state == "vendor=1"
    assert span.attributes.pop("user_agent.original").startswith("grpc-python-asyncio/")
    assert span.attributes == {
        "rpc.system.name": "grpc",
        "rpc.method": "rerank.v1.Rerank/Rerank",
        "rpc.response.status_code": "OK",
        "client.address": "127.0.0.1",
        "rerank.request.id": response.id,
        "rerank.dialect": "rerank.v1",
        "gen_ai.operation.name": "rerank",
        "gen_ai.provider.name": "rerank-service",
        "gen_ai.response.model": "small",
        "gen_ai.usage.input_tokens": response.usage.prompt_tokens,
        "rerank.documents": 3,
        "openinference.span.kind": "RERANKER",
        "reranker.model_name": "small",
    }
    assert stages.keys() == STAGES
    assert all(_within(stage, span) for stage in stages.values())


async def test_trace_state_in_several_headers_is_joined(parts: Traced) -> None:
    """W3C Trace Context allows it, over both protocols."""
    headers = [("traceparent", SAMPLED), ("tracestate", "one=1"), ("tracestate", "two=2")]
    await parts.edges.http.post("/v2/rerank", content=orjson.dumps(BODY), headers=headers)
    assert (await parts.request())[0].message.trace_state == "one=1,two=2"
    async with grpc.aio.insecure_channel(parts.edges.address) as channel:
        await pb_grpc.RerankStub(channel).Rerank(MESSAGE, metadata=tuple(headers))
    assert (await parts.request())[0].message.trace_state == "one=1,two=2"


@pytest.mark.parametrize("traceparent", ["", "00-jane", f"00-{'0' * 32}-{SPAN_ID}-01", "x" * 1000])
async def test_request_without_a_valid_context_begins_a_trace(parts: Traced, traceparent: str) -> None:
    """It has no parent."""
    await post(parts.edges, BODY, traceparent=traceparent)
    await _grpc(parts, traceparent=traceparent)
    for _ in range(2):
        record = await parts.recorder.next()
        assert len(record.trace_id) == 32
    await asyncio.to_thread(parts.provider.force_flush)
    roots = [span.message for span in parts.receiver.spans() if not span.message.parent_span_id]
    assert [root.kind for root in roots] == [roots[0].SPAN_KIND_SERVER] * 2
    assert len({root.trace_id for root in roots}) == 2


async def test_sampling_follows_the_client(parts: Traced) -> None:
    """The log line of a request that is not sampled has the id of the client's trace, too."""
    await post(parts.edges, BODY, traceparent=NOT_SAMPLED)
    record, spans = await parts.next()
    assert (record.trace_id, spans) == (TRACE_ID, [])
    await _grpc(parts, traceparent=NOT_SAMPLED)
    record, spans = await parts.next()
    assert (record.trace_id, spans) == (TRACE_ID, [])


async def test_sampler_of_the_variables_decides_about_other_requests(
    core: Running, receiver: OtlpReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OTEL_TRACES_SAMPLER, with its argument."""
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0")
    async with traced(core, receiver) as parts:
        await post(parts.edges, BODY)
        assert (await parts.next())[1] == []
        await post(parts.edges, BODY, traceparent=SAMPLED)
        assert len((await parts.next())[1]) == 5


async def test_log_line_has_the_ids_of_the_span(parts: Traced) -> None:
    """So that a line leads to its trace."""
    with capture_logs() as lines:
        await post(parts.edges, BODY)
        record, spans = await parts.next()
    [span] = [span for span in spans if span.name == "POST /v2/rerank"]
    assert (lines[0]["trace_id"], lines[0]["span_id"]) == span.ids == (record.trace_id, record.span_id)


async def test_streams_have_one_span(parts: Traced) -> None:
    """A TEI stream with many queries, too."""
    await parts.edges.client.rerank_stream("0", ["1", "2"])
    span, stages = await parts.request()
    assert (span.name, span.attributes["rerank.documents"]) == ("rerank.v1.Rerank/RerankStream", 2)
    assert stages.keys() == STAGES
    messages = [stream_request(str(number % 7), query=str(number)) for number in range(10)]
    async with grpc.aio.insecure_channel(parts.edges.address) as channel:
        await tei_grpc.RerankStub(channel).RerankStream(iter(messages))
        span, stages = await parts.request()
        assert (span.name, span.attributes["rerank.documents"]) == ("tei.v1.Rerank/RerankStream", 10)
        assert stages.keys() == STAGES
        await tei_grpc.RerankStub(channel).Rerank(unary_request(["1", "2"]))
    span, stages = await parts.request()
    assert (span.name, set(stages)) == ("tei.v1.Rerank/Rerank", STAGES)


async def test_requests_that_rank_nothing_have_a_span_only(parts: Traced) -> None:
    """The name has the template of the path, never the name of a model."""
    await parts.edges.http.get("/v1/models/small?query=Jane")
    span, stages = await parts.request()
    assert (span.name, stages) == ("GET /v1/models/{model:path}", {})
    assert span.attributes["url.path"] == "/v1/models/small"
    assert not [name for name in span.attributes if name.startswith(("gen_ai.", "openinference.", "reranker."))]
    await parts.edges.client.models()
    span, stages = await parts.request()
    assert (span.name, stages) == ("rerank.v1.Rerank/ListModels", {})


async def test_health_checks_and_metrics_have_no_span(parts: Traced) -> None:
    """Reflection neither."""
    await parts.edges.grpc.set_ready(ready=True)
    parts.edges.routes.ready = True
    for route in UNOBSERVED - {"/metrics", FILES}:
        await parts.edges.http.get(route.replace("{model:path}", "small"), headers={"traceparent": SAMPLED})
    async with grpc.aio.insecure_channel(parts.edges.address) as channel:
        await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
        ask = reflection_pb2.ServerReflectionRequest(list_services="")
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        assert [answer async for answer in stub.ServerReflectionInfo(iter([ask]))]
    await post(parts.edges, BODY)
    assert (await parts.request())[0].name == "POST /v2/rerank"
    assert parts.recorder.empty


@pytest.mark.parametrize(
    ("method", "path", "name", "expected"),
    [
        ("GET", "/Jane", "GET", {"http.request.method": "GET", "url.path": "/Jane", "http.response.status_code": 404}),
        (
            "BREW",
            "/v2/rerank",
            "HTTP /v2/rerank",
            {"http.request.method": "_OTHER", "http.request.method_original": "BREW", "http.response.status_code": 405},
        ),
    ],
)
async def test_unknown_paths_and_methods_have_a_span(
    parts: Traced, method: str, path: str, name: str, expected: dict[str, Any]
) -> None:
    """The name of the span has no name that the client invented."""
    await parts.edges.http.request(method, path)
    span, _ = await parts.request()
    assert (span.name, span.is_error, span.attributes["error.type"]) == (name, False, "unknown_route")
    assert expected.items() <= span.attributes.items()
    assert ("http.route" in span.attributes) == (path == "/v2/rerank")


async def test_unknown_grpc_method_has_a_span(parts: Traced) -> None:
    """UNIMPLEMENTED is an error of the server, by the conventions. The name of the method is not known."""
    empty: Any = b""
    async with grpc.aio.insecure_channel(parts.edges.address) as channel:
        with pytest.raises(grpc.aio.AioRpcError):
            await channel.unary_unary("/nowhere.Jane/Jane")(empty)
    span, _ = await parts.request()
    assert (span.name, span.is_error) == ("grpc", True)
    assert span.attributes["rpc.method"] == "_OTHER"
    assert (span.attributes["rpc.response.status_code"], span.attributes["error.type"]) == (
        "UNIMPLEMENTED",
        "unknown_route",
    )


async def test_rejected_requests_have_their_reason(core: Running, receiver: OtlpReceiver) -> None:
    """Rejected before admission and in it. An error of the client is no error of the span, by the conventions."""
    async with traced(core, receiver, keys=KEYS) as parts:
        for key, body, status, reason, stages in (
            ("wrong", BODY, 401, "invalid_api_key", set()),
            ("sesame", {"query": "0"}, 400, "missing", set()),
            ("sesame", BODY | {"documents": []}, 400, "empty_documents", {"admission"}),
            ("sesame", BODY | {"model": "m" * 5000}, 404, "model_not_found", {"admission"}),
        ):
            await post(parts.edges, body, authorization=f"Bearer {key}")
            span, children = await parts.request()
            assert (span.attributes["http.response.status_code"], span.attributes["error.type"]) == (status, reason)
            assert (span.is_error, set(children)) == (False, stages)
            assert all(child.attributes["error.type"] == reason for child in children.values())
            assert all(child.is_error for child in children.values())
        assert span.attributes["gen_ai.request.model"] == "m" * 100 + "…"
        assert "gen_ai.response.model" not in span.attributes
        assert span.attributes["rerank.key"] == "search"
        async with AsyncRerankClient(parts.edges.address, api_key="wrong") as client:
            with pytest.raises(grpc.aio.AioRpcError):
                await client.rerank("0", ["1"])
        span, _ = await parts.request()
        assert (span.attributes["rpc.response.status_code"], span.attributes["error.type"], span.is_error) == (
            "UNAUTHENTICATED",
            "invalid_api_key",
            False,
        )
        assert "sesame" not in str(receiver.requests)


async def test_request_beyond_the_capacity_has_a_failed_admission(small_model: Bundle, receiver: OtlpReceiver) -> None:
    """The span of the request has the reason, too."""
    async with running(small_model, max_live_documents=4) as core, traced(core, receiver) as parts:
        core.score.hold()
        first = asyncio.ensure_future(post(parts.edges, BODY))
        await core.score.started()
        await post(parts.edges, BODY)
        span, stages = await parts.request()
        assert (span.attributes["error.type"], set(stages)) == ("overloaded", {"admission"})
        assert stages["admission"].attributes["error.type"] == "overloaded"
        core.score.release()
        await first
        assert (await parts.request())[1].keys() == STAGES


async def test_requests_whose_deadline_passes_are_errors(parts: Traced) -> None:
    """Over REST by the header, over gRPC by the client's deadline. They waited in the queue."""
    parts.edges.core.score.hold()
    await post(parts.edges, BODY, **{"x-request-timeout": "1.5"})
    span, stages = await parts.request()
    assert (span.is_error, span.attributes["http.response.status_code"]) == (True, 504)
    assert span.attributes["error.type"] == "deadline_exceeded"
    assert {"admission", "tokenize", "queue"} <= stages.keys()
    assert all(_within(stage, span) for stage in stages.values())
    async with AsyncRerankClient(parts.edges.address, timeout=1.5) as client:
        await client._channel.channel_ready()  # no part of the deadline
        with pytest.raises(grpc.aio.AioRpcError):
            await client.rerank("0", ["1", "2"])
    span, stages = await parts.request()
    assert (span.is_error, span.attributes["rpc.response.status_code"]) == (True, "DEADLINE_EXCEEDED")
    assert all(_within(stage, span) for stage in stages.values())


async def test_cancelled_requests_have_their_status_as_error(parts: Traced) -> None:
    """They are no error of the server."""
    core = parts.edges.core
    core.score.hold()
    call = asyncio.ensure_future(parts.edges.client.rerank("0", ["1"]))
    await core.score.started()
    call.cancel()
    span, stages = await parts.request()
    assert (span.is_error, span.attributes["error.type"]) == (False, "CANCELLED")
    assert not any(stage.is_error for stage in stages.values())
    core.score.release()
    await until_idle(core)
    core.score.hold()
    content = orjson.dumps(BODY)
    url = parts.edges.http.base_url
    _, writer = await asyncio.open_connection(url.host, url.port, family=socket.AF_INET)
    writer.write(b"POST /v2/rerank HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(content) + content)
    await core.score.started()
    writer.close()
    span, _ = await parts.request()
    assert (span.is_error, span.attributes["error.type"]) == (False, "499")


async def test_unexpected_errors_have_the_class_and_no_message(parts: Traced, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message of an exception may quote a caller."""

    def fail(_name: str) -> None:
        raise ZeroDivisionError("Jane")

    monkeypatch.setattr(parts.edges.core.registry, "find", fail)
    await post(parts.edges, BODY)
    span, _ = await parts.request()
    assert (span.is_error, span.attributes["error.type"]) == (True, "ZeroDivisionError")
    with pytest.raises(grpc.aio.AioRpcError):
        await parts.edges.client.rerank("0", ["1"])
    span, _ = await parts.request()
    assert (span.is_error, span.attributes["error.type"]) == (True, "ZeroDivisionError")
    assert "Jane" not in str(span.message)


async def test_no_text_is_traced(parts: Traced) -> None:
    """In no dialect, neither of a valid request nor of one that is wrong or broken. gRPC and its streams neither."""
    sent = 0
    for dialect in all_dialects():
        body = canaries(dialect.example)
        wrong = [{**body, name: [{"Jane": ["Jane"]}, 7, None, "Jane"]} for name in body if name not in NAMES]
        for each in (body, *wrong, orjson.dumps(body)[:-3], b'{"query": "Jane", "documents": [Jane]}', b'"Jane"'):
            await post(parts.edges, each, dialect.paths[0])
            sent += 1
    await parts.edges.client.rerank("Jane", ["Jane"])
    await parts.edges.client.rerank_stream("Jane", ["Jane"])
    for query, document in (("Jane", pb.Document()), ("", "Jane"), ("Jane " * 100_000, "Jane")):
        with pytest.raises(grpc.aio.AioRpcError):
            await parts.edges.client.rerank(query, ["Jane", document])
    async with grpc.aio.insecure_channel(parts.edges.address) as channel:
        await tei_grpc.RerankStub(channel).RerankStream(iter([stream_request("Jane", query="Jane")]))
    for _ in range(sent + 6):
        await parts.recorder.next()
    await asyncio.to_thread(parts.provider.force_flush)
    received = parts.receiver.spans()
    assert sum(span.message.kind == span.message.SPAN_KIND_SERVER for span in received) == sent + 6
    assert not any(b"Jane" in request.SerializeToString() for request in parts.receiver.requests)


async def test_headers_of_clients_are_not_logged(parts: Traced, caplog: pytest.LogCaptureFixture) -> None:
    """The parsers of OpenTelemetry would quote them, a line for each."""
    for name, value in (
        ("traceparent", "Jane" * 200),
        ("tracestate", "Jane"),
        ("tracestate", "jane=1,jane=1"),
        ("tracestate", "Jane" * 5000),
        ("baggage", "Jane"),
        ("baggage", "Jane=%FF," * 500),
    ):
        await post(parts.edges, BODY, **{"traceparent": SAMPLED, name: value})
        await parts.request()
    assert [record for record in caplog.records if record.name.startswith("opentelemetry")] == []


async def test_odd_values_lose_no_span(core: Running, receiver: OtlpReceiver) -> None:
    """A lone surrogate would fail the encoding of a whole batch of spans. So would an integer of more than 63 bits."""
    odd = b"\\ud800"
    body = b'{"query": "%s", "documents": ["%s", "1"], "model": "%s", "top_n": %d}' % (odd, odd, b"small", 2**31 - 1)
    async with traced(core, receiver, trace_texts=True) as parts:
        for sent in (body, body.replace(b"small", odd)):
            await parts.edges.http.post("/v2/rerank", content=sent, headers={b"user-agent": b"\xff\xed\xa0\x80"})
            span, _ = await parts.request()
            assert span.attributes["reranker.top_k"] == 2**31 - 1
        await parts.edges.http.request("GETT", "/%ED%A0%80%FF")
        span, _ = await parts.request()
        assert span.attributes["url.path"].startswith("/")


async def test_texts_are_traced_on_request(core: Running, receiver: OtlpReceiver) -> None:
    """In the names of OpenInference, over both protocols. The log line has no text."""
    async with traced(core, receiver, trace_texts=True) as parts:
        with capture_logs() as lines:
            response = await post(parts.edges, {"query": "Jane", "documents": ["1", "2 3", "4 5 6"], "top_n": 2})
            span, _ = await parts.request()
        assert "Jane" not in str(lines)
        attributes = span.attributes
        assert attributes["reranker.query"] == "Jane"
        inputs = [attributes[f"reranker.input_documents.{number}.document.content"] for number in range(3)]
        assert inputs == ["1", "2 3", "4 5 6"]
        results = response.json()["results"]
        for rank, result in enumerate(results):
            prefix = f"reranker.output_documents.{rank}.document"
            assert attributes[f"{prefix}.id"] == str(result["index"])
            assert attributes[f"{prefix}.score"] == pytest.approx(result["relevance_score"])
            assert attributes[f"{prefix}.content"] == inputs[result["index"]]
        assert f"reranker.output_documents.{len(results)}.document.id" not in attributes
        await parts.edges.client.rerank_stream("Jane", [pb.Document(text="1", id="first")])
        attributes = (await parts.request())[0].attributes
        assert attributes["reranker.output_documents.0.document.id"] == "first"
        assert attributes["reranker.output_documents.0.document.content"] == "1"


async def test_traced_texts_are_few_and_short(core: Running, receiver: OtlpReceiver) -> None:
    """All attributes fit into the SDK's limit of 128. A TEI stream with several queries has the first one."""
    async with traced(core, receiver, trace_texts=True) as parts:
        await post(parts.edges, {"query": "1 " * 1500, "documents": [f"{n} " * 1500 for n in range(MAX_TEXTS + 5)]})
        span, _ = await parts.request()
        assert span.message.dropped_attributes_count == 0
        for side in ("input", "output"):
            numbers = {name.split(".")[2] for name in span.attributes if name.startswith(f"reranker.{side}_documents.")}
            assert numbers == set(map(str, range(MAX_TEXTS)))
        texts = [value for name, value in span.attributes.items() if name.endswith((".content", ".query"))]
        assert {len(text) for text in texts} == {MAX_TEXT_CHARS}
        async with grpc.aio.insecure_channel(parts.edges.address) as channel:
            messages = [stream_request("1", query="2"), stream_request("3", query="4")]
            await tei_grpc.RerankStub(channel).RerankStream(iter(messages))
        attributes = (await parts.request())[0].attributes
        assert attributes["reranker.input_documents.1.document.content"] == "3"
        assert attributes["reranker.query"] == "2"
        assert attributes["reranker.output_documents.0.document.id"] == "1"


async def test_typed_client_sends_its_context(parts: Traced) -> None:
    """By the interceptors of opentelemetry-instrumentation-grpc, which docs/traces.md shows."""
    provider = TracerProvider(shutdown_on_exit=False)
    instrumentor = GrpcInstrumentorClient()  # type: ignore[no-untyped-call]
    instrumentor.instrument(tracer_provider=provider)

    def call() -> int:
        with (
            provider.get_tracer("caller").start_as_current_span("question") as span,
            RerankClient(parts.edges.address) as client,
        ):
            client.rerank("0", ["1"])
            return span.get_span_context().trace_id

    try:
        trace_id = await asyncio.to_thread(call)
    finally:
        instrumentor.uninstrument()
    span, _ = await parts.request()
    assert int(span.ids[0], 16) == trace_id
    assert span.message.parent_span_id


async def test_receiver_that_is_down_fails_no_request(core: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither one that refuses connections nor one that never responds. The queue of spans is bounded."""
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "8")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "4")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.1")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
        async with traced(core, OtlpReceiver(endpoint)) as parts:
            for _ in range(20):
                assert (await post(parts.edges, BODY)).status_code == 200
                await _grpc(parts)
            assert [(await parts.recorder.next()).is_error for _ in range(40)] == [False] * 40


async def test_body_that_is_too_large_has_a_span(parts: Traced) -> None:
    """It was rejected before its end was read."""
    await post(parts.edges, {"query": "0", "documents": ["1" * MAX_MESSAGE_BYTES]})
    span, _ = await parts.request()
    assert (span.attributes["http.response.status_code"], span.attributes["error.type"]) == (413, "body_too_large")
