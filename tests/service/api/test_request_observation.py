"""The record of each request, over gRPC and REST on real ports: one record per request, however it ends."""

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Any

import grpc
import orjson
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from structlog.testing import capture_logs
from tei_client.stubs import tei_pb2_grpc as tei_grpc

from rerank.client import AsyncRerankClient
from rerank.v1 import rerank_pb2 as pb
from rerank.v1 import rerank_pb2_grpc as pb_grpc
from rerank_service.api.auth import Keys, KnownKey, digest
from rerank_service.api.http.dialects import all_dialects, all_look_ups
from rerank_service.api.http.observed_app import UNOBSERVED
from rerank_service.api.http.playground.routes import FILES
from rerank_service.api.ranking_observation import MAX_TEXT_CHARS, MAX_TEXTS
from rerank_service.api.request_observation import RequestObservation
from rerank_service.models.bundle import Bundle
from rerank_service.scheduling.caller import Caller
from support.canaries import NAMES, canaries
from support.grpc_calls import until_idle
from support.http import post
from support.observed import Recorder, observed
from support.running import MAX_MESSAGE_BYTES, Running, Served, running
from support.tei_calls import stream_request, unary_request

BODY = {"query": "0", "documents": ["1", "2", "1"]}
KEYS = Keys(["nameless"], [KnownKey(digest("sesame"), Caller("search"))])


@pytest.fixture
async def parts(core: Running) -> AsyncIterator[tuple[Served, Recorder]]:
    """Yield the servers, and the recorder of their requests."""
    async with observed(core) as both:
        yield both


async def test_rest_request_has_all_facts(parts: tuple[Served, Recorder]) -> None:
    """Duplicates count as documents, and not as tokens."""
    edges, recorder = parts
    response = await post(edges, BODY, "/v1//rerank/", **{"x-request-id": "mine"})
    record = await recorder.next()
    assert (record.id, record.protocol, record.method, record.call) == ("mine", "rest", "POST", "/v1/rerank")
    assert (record.route, record.dialect, record.model, record.key) == ("/v1/rerank", "unified", "small", "")
    assert (record.client, record.status, record.documents) == ("127.0.0.1", 200, 3)
    assert record.tokens == response.json()["usage"]["prompt_tokens"]
    assert 0 < record.tokenize < record.seconds
    assert 0 < record.inference < record.seconds
    assert record.queue >= 0
    assert record.forecast_error is not None
    assert record.failure is None
    assert recorder.empty


async def test_grpc_request_has_all_facts(parts: tuple[Served, Recorder]) -> None:
    """With the bytes of the messages."""
    edges, recorder = parts
    message = pb.RerankRequest(query="0", documents=[pb.Document(text=text) for text in ("1", "2", "1")])
    async with grpc.aio.insecure_channel(edges.address) as channel:
        response = await pb_grpc.RerankStub(channel).Rerank(message)
    record = await recorder.next()
    assert (record.id, record.protocol, record.call) == (response.id, "grpc", "rerank.v1.Rerank/Rerank")
    assert (record.route, record.dialect, record.model) == (record.call, "rerank.v1", "small")
    assert (record.client, record.status, record.documents) == ("127.0.0.1", "OK", 3)
    assert record.tokens == response.usage.prompt_tokens
    assert (record.received_bytes, record.sent_bytes) == (message.ByteSize(), response.ByteSize())
    assert record.forecast_error is not None
    assert recorder.started == ["rerank.v1.Rerank/Rerank"]


async def test_streams_have_one_record(parts: tuple[Served, Recorder]) -> None:
    """A stream of TEI with two queries is one request, too."""
    edges, recorder = parts
    await edges.client.rerank_stream("0", ["1", "2"])
    record = await recorder.next()
    assert (record.call, record.status, record.documents) == ("rerank.v1.Rerank/RerankStream", "OK", 2)
    assert (record.ranked, record.forecast_error) == (True, None)
    messages = [stream_request("1"), stream_request("2"), stream_request("1", query="3")]
    async with grpc.aio.insecure_channel(edges.address) as channel:
        await tei_grpc.RerankStub(channel).RerankStream(iter(messages))
        record = await recorder.next()
        assert (record.call, record.dialect, record.documents) == ("tei.v1.Rerank/RerankStream", "tei.v1", 3)
        await tei_grpc.RerankStub(channel).Rerank(unary_request(["1", "2"]))
    assert (await recorder.next()).documents == 2
    assert recorder.empty


async def test_look_up_and_page_are_requests_without_work(parts: tuple[Served, Recorder]) -> None:
    """Their route is a template, so that model names are no series."""
    edges, recorder = parts
    for path, route in (
        ("/v1/models", "/v1/models"),
        ("/v1/models/small", "/v1/models/{model:path}"),
        ("/docs", "/docs"),
        ("/openapi.json", "/openapi.json"),
    ):
        await edges.http.get(path)
        record = await recorder.next()
        assert (record.call, record.route, record.status, record.ranked) == (path, route, 200, False)
    await edges.client.models()
    record = await recorder.next()
    assert (record.call, record.status, record.ranked) == ("rerank.v1.Rerank/ListModels", "OK", False)


async def test_health_checks_are_not_observed(parts: tuple[Served, Recorder]) -> None:
    """Neither over REST nor over gRPC: they would hide the requests of callers."""
    edges, recorder = parts
    await edges.grpc.set_ready(ready=True)
    edges.routes.ready = True
    for route in UNOBSERVED - {"/metrics", FILES}:
        path = route.replace("{model:path}", "small")
        status = 204 if path.startswith("/.well-known/") else 200
        assert (await edges.http.get(path)).status_code == status
        assert (await edges.http.head(path)).status_code == status
    async with grpc.aio.insecure_channel(edges.address) as channel:
        await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
    assert recorder.empty
    assert not recorder.started


@pytest.mark.parametrize(("method", "path", "status"), [("POST", "/ping", 405), ("GET", "/metrics", 404)])
async def test_no_health_check_is_observed(parts: tuple[Served, Recorder], method: str, path: str, status: int) -> None:
    """A wrong method, and /metrics where the port does not have it."""
    edges, recorder = parts
    assert (await edges.http.request(method, path)).status_code == status
    record = await recorder.next()
    assert (record.call, record.status) == (path, status)


@pytest.mark.parametrize("path", ["/v2/models/small/ready", "/metrics"])
async def test_guessed_key_is_observed(core: Running, path: str) -> None:
    """Also on routes that are not observed otherwise."""
    async with observed(core, keys=KEYS, metrics=_metrics) as (edges, recorder):
        assert (await edges.http.get(path, headers={"x-api-key": "guess"})).status_code == 401
        record = await recorder.next()
        assert (record.call, record.status) == (path, 401)
        assert record.failure is not None
        assert record.failure.reason == "invalid_api_key"
        assert (await edges.http.get(path, headers={"x-api-key": "sesame"})).status_code in (200, 503)
        assert recorder.empty


async def _metrics(_accept: str) -> tuple[bytes, str]:
    return b"", "text/plain"


@pytest.mark.parametrize(
    ("path", "route", "dialect"),
    [
        ("/model/any/invoke", "/model/{model:path}/invoke", "bedrock_runtime"),
        ("/v1/inference/any/model", "/v1/inference/{model:path}", "deepinfra"),
        ("/v1/retrieval/nvidia/any/reranking", "/v1/retrieval/{model:path}/reranking", "nvidia"),
    ],
)
async def test_model_in_a_path_is_not_in_the_route(
    parts: tuple[Served, Recorder], path: str, route: str, dialect: str
) -> None:
    """Callers may send any name, and metrics have a series for each route."""
    edges, recorder = parts
    await post(edges, {}, path)
    record = await recorder.next()
    assert (record.call, record.route, record.dialect, record.status) == (path, route, dialect, 400)


def test_unobserved_paths_are_those_of_health_checks_metrics_and_files() -> None:
    """A new public look-up that reports readiness must not be forgotten."""
    health = {look_up.path for look_up in all_look_ups() if 503 in look_up.error_types}
    live = {"/health/live", "/v2/health/live", "/.well-known/live"}
    assert health | live | {"/health/ready", "/metrics", FILES} == UNOBSERVED


@pytest.mark.parametrize(
    ("method", "path", "status", "route"),
    [
        ("GET", "/nowhere", 404, "other"),
        ("POST", "/" + "x" * 5000, 404, "other"),
        ("GET", "/v2/rerank", 405, "/v2/rerank"),
        ("PUT", "/v1/models", 405, "/v1/models"),
        ("BREW", "/v2/rerank", 405, "/v2/rerank"),
        ("OPTIONS", "/v2/rerank", 204, "/v2/rerank"),
        ("GET", "/inference/any/model", 405, "/inference/{model:path}"),
    ],
)
async def test_unknown_paths_and_methods_are_observed(
    parts: tuple[Served, Recorder], method: str, path: str, status: int, route: str
) -> None:
    """With the beginning of a long path."""
    edges, recorder = parts
    await edges.http.request(method, path)
    record = await recorder.next()
    assert (record.method, record.route, record.status) == (method, route, status)
    assert record.call.removesuffix("…") == path[:100]
    assert (record.failure.reason if record.failure else "") == ("unknown_route" if status >= 400 else "")


@pytest.mark.parametrize("method", ["/rerank.v1.Rerank/Nothing", "/nowhere.Nothing/Nothing", "/" + "x" * 5000])
async def test_unknown_grpc_methods_are_observed(parts: tuple[Served, Recorder], method: str) -> None:
    """The status is UNIMPLEMENTED, as of gRPC itself, for each kind of call. The name of the method is not known
    (docs/decisions/0067-registered-methods.md)."""
    edges, recorder = parts
    empty: Any = b""
    async with grpc.aio.insecure_channel(edges.address) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as unary:
            await channel.unary_unary(method)(empty)
        with pytest.raises(grpc.aio.AioRpcError) as stream:
            await channel.stream_stream(method)(iter([empty])).read()
    for caught in (unary, stream):
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
        record = await recorder.next()
        assert (record.call, record.route, record.status) == ("other", "other", "UNIMPLEMENTED")
    assert recorder.started == ["other", "other"]


async def test_refused_requests_have_reason_and_key(core: Running) -> None:
    """A request without a valid key has no key name."""
    async with observed(core, keys=KEYS) as (edges, recorder):
        for key, body, status, reason, name in (
            ("wrong", BODY, 401, "invalid_api_key", ""),
            ("sesame", {"query": "0"}, 400, "missing", "search"),
            ("sesame", BODY | {"model": "unknown"}, 404, "model_not_found", "search"),
            ("nameless", BODY | {"documents": []}, 400, "empty_documents", ""),
        ):
            assert (await post(edges, body, authorization=f"Bearer {key}")).status_code == status
            record = await recorder.next()
            assert record.failure is not None
            assert (record.status, record.failure.reason, record.key) == (status, reason, name)
            assert (record.ranked, record.model) == (False, "")
        async with AsyncRerankClient(edges.address, api_key="wrong") as client:
            with pytest.raises(grpc.aio.AioRpcError):
                await client.rerank("0", ["1"])
        record = await recorder.next()
        assert record.failure is not None
        assert (record.status, record.failure.kind) == ("UNAUTHENTICATED", "invalid_api_key")


async def test_requests_whose_deadline_passes_have_their_work(parts: tuple[Served, Recorder]) -> None:
    """Over REST by the header; over gRPC by the client's deadline, where gRPC itself may cancel the call."""
    edges, recorder = parts
    edges.core.score.hold()
    response = await post(edges, BODY, **{"x-request-timeout": "1.5"})
    async with AsyncRerankClient(edges.address, timeout=1.5) as client:
        await client._channel.channel_ready()  # no part of the deadline
        with pytest.raises(grpc.aio.AioRpcError):
            await client.rerank("0", ["1", "2"])
    for status, documents in ((504, 3), ("DEADLINE_EXCEEDED", 2)):
        record = await recorder.next()
        assert record.failure is not None
        assert (record.status, record.failure.kind, record.documents) == (status, "deadline_passed", documents)
        assert (record.ranked, record.model, record.forecast_error) == (True, "small", None)
    assert response.status_code == 504


async def test_cancelled_requests_have_a_record(parts: tuple[Served, Recorder]) -> None:
    """A closed HTTP connection has nginx's status 499. It is not a refusal."""
    edges, recorder = parts
    edges.core.score.hold()
    call = asyncio.ensure_future(edges.client.rerank("0", ["1"]))
    await edges.core.score.started()
    call.cancel()
    record = await recorder.next()
    assert (record.status, record.failure, record.is_error) == ("CANCELLED", None, True)
    edges.core.score.release()
    await until_idle(edges.core)
    edges.core.score.hold()
    content = orjson.dumps(BODY)
    host, port = edges.http.base_url.host, edges.http.base_url.port
    assert port is not None
    _, writer = await asyncio.open_connection(host, port, family=socket.AF_INET)
    writer.write(b"POST /v2/rerank HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(content) + content)
    await edges.core.score.started()
    writer.close()
    record = await recorder.next()
    assert (record.status, record.failure, record.is_error) == (499, None, True)


async def test_record_of_a_grpc_call_is_there_with_its_response(parts: tuple[Served, Recorder]) -> None:
    """It is made after the response, in the next turn of the event loop. The client's next call comes later than that:
    metrics that it reads have the call."""
    edges, recorder = parts
    for call in (edges.client.rerank, edges.client.rerank_stream):
        await call("0", ["1"])
        assert not recorder.empty
        assert (await recorder.next()).status == "OK"


async def test_record_is_made_after_the_turn_in_which_the_call_ends() -> None:
    """With the time of the end. gRPC sends the response in that turn."""
    recorder, loop = Recorder(), asyncio.get_running_loop()
    observation = RequestObservation(observer=recorder, id="1", protocol="grpc", method="POST", call="", client="")
    began = loop.time()
    observation.finish_soon()
    assert recorder.empty
    ended = loop.time()
    await asyncio.sleep(0)
    record = await recorder.next()
    assert began <= record.ended <= ended


@pytest.mark.parametrize("grace", [60.0, 0.0])
async def test_last_grpc_call_has_a_record_when_the_server_has_stopped(core: Running, grace: float) -> None:
    """Whether it ends within the grace period, or is cancelled at its end."""
    async with observed(core) as (edges, recorder):
        core.score.hold()
        call = asyncio.create_task(edges.client.rerank("0", ["1"]))
        await core.score.started()
        stopped = asyncio.create_task(edges.grpc.stop(grace))
        if grace:
            core.score.release()
        await stopped
        assert not recorder.empty
        core.score.release()
        await asyncio.wait([call])
    assert (await recorder.next()).status == ("OK" if grace else "CANCELLED")


async def test_unexpected_errors_are_logged_with_a_traceback(
    parts: tuple[Served, Recorder], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the one line of the request."""
    edges, recorder = parts
    monkeypatch.setattr(edges.core.registry, "find", lambda _: 1 / 0)
    with capture_logs() as lines:
        await post(edges, BODY)
        await recorder.next()
        with pytest.raises(grpc.aio.AioRpcError):
            await edges.client.rerank("0", ["1"])
        await recorder.next()
    assert [(line["event"], line["log_level"], line["status"]) for line in lines] == [
        ("request finished", "error", 500),
        ("request finished", "error", "INTERNAL"),
    ]
    assert all(isinstance(line["exc_info"], ZeroDivisionError) for line in lines)


@pytest.mark.parametrize("dialect", all_dialects(), ids=lambda dialect: type(dialect).__name__)
async def test_texts_are_not_logged(parts: tuple[Served, Recorder], dialect: Any) -> None:
    """In no dialect, neither of a valid request nor of one whose texts have a wrong type or are broken."""
    edges, recorder = parts
    body = canaries(dialect.example)
    wrong = [{**body, name: [{"Jane": ["Jane"]}, 7, None, "Jane"]} for name in body if name not in NAMES]
    broken = [orjson.dumps(body)[:-3], b'{"query": "Jane", "documents": [Jane]}', b'"Jane"']
    with capture_logs() as lines:
        for sent in (body, *wrong, *broken):
            await post(edges, sent, dialect.paths[0])
            await recorder.next()
    assert len(lines) == 1 + len(wrong) + len(broken)
    assert "Jane" not in str(lines)


async def test_texts_of_grpc_are_not_logged(parts: tuple[Served, Recorder]) -> None:
    """Neither of a valid call nor of invalid ones."""
    edges, recorder = parts
    with capture_logs() as lines:
        await edges.client.rerank("Jane", ["Jane"])
        await recorder.next()
        for query, document in (("Jane", pb.Document()), ("", "Jane"), ("Jane " * 100_000, "Jane")):
            with pytest.raises(grpc.aio.AioRpcError):
                await edges.client.rerank(query, ["Jane", document])
            await recorder.next()
    assert len(lines) == 4
    assert "Jane" not in str(lines)


async def test_texts_are_logged_on_request_and_cut(core: Running) -> None:
    """With `log_texts`, over both protocols. Objects are logged as the text that is ranked."""
    documents = [{"title": f"Jane {n}"} for n in range(MAX_TEXTS + 1)]
    async with observed(core, log_texts=True) as (edges, recorder):
        with capture_logs() as lines:
            await post(edges, {"query": "Who", "documents": documents})
            await recorder.next()
            await edges.client.rerank("1 " * MAX_TEXT_CHARS, ["2 " * MAX_TEXT_CHARS])
            await recorder.next()
    assert lines[0]["query"] == "Who"
    assert len(lines[0]["document_texts"]) == MAX_TEXTS
    assert "Jane 0" in lines[0]["document_texts"][0]
    assert [len(lines[1]["query"]), *map(len, lines[1]["document_texts"])] == [MAX_TEXT_CHARS] * 2


async def test_client_behind_a_trusted_proxy_is_named(core: Running) -> None:
    """Over both protocols. A header of an untrusted connection does not count."""
    for proxies, client in ((("127.0.0.1",), "203.0.113.7"), ((), "127.0.0.1")):
        async with observed(core, proxies=proxies) as (edges, recorder):
            await post(edges, BODY, **{"x-forwarded-for": "203.0.113.7"})
            assert (await recorder.next()).client == client
            async with grpc.aio.insecure_channel(edges.address) as channel:
                message = pb.RerankRequest(query="0", documents=[pb.Document(text="1")])
                await pb_grpc.RerankStub(channel).Rerank(message, metadata=(("x-forwarded-for", "203.0.113.7"),))
            assert (await recorder.next()).client == client


async def test_overload_and_failed_inference_have_their_kinds(small_model: Bundle) -> None:
    """Refused by admission, and failed after it."""
    async with running(small_model, max_live_documents=1) as core, observed(core) as (edges, recorder):
        core.score.hold()
        first = asyncio.create_task(post(edges, {"query": "0", "documents": ["1"]}))
        await core.score.started()
        await post(edges, BODY)
        record = await recorder.next()
        assert record.failure is not None
        assert (record.failure.kind, record.status, record.documents, record.ranked) == ("overloaded", 429, 3, False)
        core.score.release()
        await first
        await recorder.next()
        await post(edges, {"query": "0", "documents": ["1" * MAX_MESSAGE_BYTES]})
        record = await recorder.next()
        assert record.failure is not None
        assert (record.failure.kind, record.status) == ("too_large", 413)
