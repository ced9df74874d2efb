"""The limits of a key through both protocols: 429 and 403 in every dialect, gRPC statuses, filtered look-ups."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from tei_client.stubs import tei_pb2 as tei
from tei_client.stubs import tei_pb2_grpc as tei_grpc

from rerank.client import AsyncRerankClient
from rerank.v1 import rerank_pb2 as pb
from rerank.v1 import rerank_pb2_grpc as pb_grpc
from rerank_service.api.auth import Keys, KnownKey, digest
from rerank_service.scheduling.caller import Caller
from rerank_service.scheduling.quota import KeyLimits
from support.grpc_calls import rich_status
from support.http import post
from support.running import Running, served
from support.tei_calls import stream_request, unary_request

KEY = {"x-api-key": "sesame"}
METADATA = (("x-api-key", "sesame"),)
BODY = {"query": "0", "documents": ["1"]}
ERROR_KEYS = {"message", "detail", "error"}
DIALECTS: list[tuple[str, dict[str, Any], str, set[str]]] = [
    ("unified", BODY, "/v2/rerank", ERROR_KEYS),
    ("voyage", {**BODY, "top_k": 1}, "/v1/rerank", {"message", "detail"}),
    ("tei", {"query": "0", "texts": ["1"]}, "/rerank", {"error", "error_type"}),
    ("mixedbread", {"query": "0", "input": ["1"]}, "/v1/reranking", ERROR_KEYS),
    (
        "nvidia",
        {"query": {"text": "0"}, "passages": [{"text": "1"}]},
        "/v1/ranking",
        {*ERROR_KEYS, "status", "title"},
    ),
    (
        "dashscope",
        {"input": {"query": "0", "documents": ["1"]}},
        "/api/v1/services/rerank/text-rerank/text-rerank",
        {"code", "message", "request_id"},
    ),
    ("score", {"text_1": "0", "text_2": "1"}, "/score", ERROR_KEYS),
]


def _keys(models: set[str] | None = None, **limits: Any) -> Keys:
    caller = Caller("search", models=None if models is None else frozenset(models))
    return Keys(known=[KnownKey(digest("sesame"), caller, KeyLimits(**limits))])


@pytest.mark.parametrize(("body", "path", "keys"), [case[1:] for case in DIALECTS], ids=[case[0] for case in DIALECTS])
async def test_too_many_requests_are_429_in_every_dialect(
    core: Running, body: dict[str, Any], path: str, keys: set[str]
) -> None:
    """With `retry-after` in lower case for together 1.x, and without the words that litellm takes for 400."""
    async with served(core, keys=_keys(requests_per_second=0.001)) as edges:
        assert (await post(edges, body, path, **KEY)).status_code == 200
        response = await post(edges, body, path, **KEY)
        assert response.status_code == 429
        assert (b"retry-after", b"1000") in response.headers.raw
        assert response.json().keys() == keys
        assert "invalid_request_error" not in response.text
        assert "requests per second" in response.text
    assert core.idle()


@pytest.mark.parametrize(("body", "path", "keys"), [case[1:] for case in DIALECTS], ids=[case[0] for case in DIALECTS])
async def test_model_that_is_not_allowed_is_403_in_every_dialect(
    core: Running, body: dict[str, Any], path: str, keys: set[str]
) -> None:
    """A retry does not help, so there is no `retry-after`."""
    async with served(core, keys=_keys({"other"})) as edges:
        response = await post(edges, body, path, **KEY)
        assert response.status_code == 403
        assert "retry-after" not in response.headers
        assert response.json().keys() == keys
        assert "invalid_request_error" not in response.text
        assert "use other" in response.text


async def test_errors_have_codes_for_programs(core: Running) -> None:
    """A limit of the key differs from an overloaded server."""
    async with served(core, keys=_keys({"other"})) as edges:
        error = (await post(edges, BODY, **KEY)).json()["error"]
        assert (error["type"], error["code"], error["param"]) == ("permission_error", "model_not_allowed", "model")
    async with served(core, keys=_keys(requests_per_second=0.001)) as edges:
        await post(edges, BODY, **KEY)
        error = (await post(edges, BODY, **KEY)).json()["error"]
        assert (error["type"], error["code"], error["param"]) == ("rate_limit_error", "rate_limited", None)
        tei_error = (await post(edges, DIALECTS[2][1], "/rerank", **KEY)).json()
        assert tei_error["error_type"] == "Overloaded"
        dashscope = (await post(edges, DIALECTS[5][1], DIALECTS[5][2], **KEY)).json()
        assert dashscope["code"] == "Throttling"


async def _unary(channel: grpc.aio.Channel) -> Any:
    stub: pb_grpc.RerankAsyncStub = pb_grpc.RerankStub(channel)
    return await stub.Rerank(pb.RerankRequest(query="0", documents=[pb.Document(text="1")]), metadata=METADATA)


async def _stream(channel: grpc.aio.Channel) -> Any:
    stub: pb_grpc.RerankAsyncStub = pb_grpc.RerankStub(channel)
    header = pb.RerankHeader(request=pb.RerankRequest(query="0", documents=[pb.Document(text="1")]))
    return [_ async for _ in stub.RerankStream(iter([pb.RerankStreamRequest(header=header)]), metadata=METADATA)]


async def _tei(channel: grpc.aio.Channel) -> Any:
    return await tei_grpc.RerankStub(channel).Rerank(unary_request(["1"]), metadata=METADATA)


async def _tei_stream(channel: grpc.aio.Channel) -> Any:
    messages = [stream_request("1"), stream_request("2", query="1")]
    return await tei_grpc.RerankStub(channel).RerankStream(iter(messages), metadata=METADATA)


async def _model(channel: grpc.aio.Channel) -> Any:
    stub: pb_grpc.RerankAsyncStub = pb_grpc.RerankStub(channel)
    return await stub.GetModel(pb.GetModelRequest(name="small"), metadata=METADATA)


async def _info(channel: grpc.aio.Channel) -> Any:
    return await tei_grpc.InfoStub(channel).Info(tei.InfoRequest(), metadata=METADATA)


@pytest.mark.parametrize("call", [_unary, _stream, _tei, _tei_stream])
async def test_too_many_calls_are_resource_exhausted(core: Running, call: Callable[[grpc.aio.Channel], Any]) -> None:
    """With RetryInfo. A stream of TEI is one request, however many queries it has."""
    async with served(core, keys=_keys(requests_per_second=0.001)) as edges:
        async with grpc.aio.insecure_channel(edges.address) as channel:
            await call(channel)
            with pytest.raises(grpc.aio.AioRpcError, match="requests per second") as caught:
                await call(channel)
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        retry = error_details_pb2.RetryInfo()
        assert rich_status(caught.value).details[0].Unpack(retry)
        assert 990 < retry.retry_delay.ToSeconds() <= 1000
    assert core.idle()


@pytest.mark.parametrize("call", [_unary, _stream, _tei, _tei_stream, _model, _info])
async def test_model_that_is_not_allowed_is_permission_denied(
    core: Running, call: Callable[[grpc.aio.Channel], Any]
) -> None:
    """Also for calls that only describe it."""
    async with served(core, keys=_keys({"other"})) as edges:
        async with grpc.aio.insecure_channel(edges.address) as channel:
            with pytest.raises(grpc.aio.AioRpcError, match="may not use model 'small'") as caught:
                await call(channel)
        assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED


@pytest.mark.parametrize("allowed", [True, False])
async def test_look_ups_show_the_models_of_the_key(core: Running, allowed: bool) -> None:
    """Lists omit other models, and a model by name is 403. Look-ups do not count as requests."""
    async with (
        served(core, keys=_keys({"small" if allowed else "other"}, requests_per_second=0.001)) as edges,
        AsyncRerankClient(edges.address, api_key="sesame") as client,
    ):
        for _ in range(2):
            listed = (await edges.http.get("/v1/models", headers=KEY)).json()["data"]
            assert [model["id"] for model in listed] == [model.name for model in await client.models()]
            assert len(listed) == allowed
            for path in ("/v1/models/small", "/info"):
                response = await edges.http.get(path, headers=KEY)
                assert response.status_code == (200 if allowed else 403)


async def test_concurrent_requests_of_both_protocols_count_together(core: Running) -> None:
    """The next request is accepted when one ends."""
    async with (
        served(core, keys=_keys(concurrent_requests=2)) as edges,
        AsyncRerankClient(edges.address, api_key="sesame") as client,
    ):
        core.score.hold()
        running = [asyncio.create_task(post(edges, BODY, **KEY)), asyncio.create_task(client.rerank("0", ["2"]))]
        while core.admission.live_requests < 2:
            await asyncio.sleep(0)
        response = await post(edges, BODY, **KEY)
        assert (response.status_code, response.headers["retry-after"]) == (429, "1")
        assert "has 2 requests in progress" in response.text
        core.score.release()
        await asyncio.gather(*running)
        assert (await post(edges, BODY, **KEY)).status_code == 200


async def test_disconnected_request_does_not_count_any_more(core: Running) -> None:
    """Otherwise a client that gives up could lock its own key."""
    async with (
        served(core, keys=_keys(concurrent_requests=1)) as edges,
        AsyncRerankClient(edges.address, api_key="sesame", timeout=0.2) as hasty,
    ):
        core.score.hold()
        with pytest.raises(grpc.aio.AioRpcError):
            await hasty.rerank("0", ["1"])
        while not core.idle():
            await asyncio.sleep(0.001)
        core.score.release()
        assert (await post(edges, BODY, **KEY)).status_code == 200


async def test_tokens_per_minute(core: Running) -> None:
    """The tokens in the usage of the response count, and the next request beyond them is 429."""
    async with served(core, keys=_keys(tokens_per_minute=30)) as edges:
        body = {"query": "0", "documents": ["1 2 3 4 5 6 7 8 9 10"]}
        response = await post(edges, body, **KEY)
        assert response.json()["usage"]["total_tokens"] == 14
        assert (await post(edges, body, **KEY)).status_code == 200
        refused = await post(edges, body, **KEY)
        assert refused.status_code == 429
        assert 1 <= int(refused.headers["retry-after"]) <= 60
        many = await post(edges, {"query": "0", "documents": ["1"] * 100}, **KEY)
        assert (many.status_code, many.json()["error"]["code"]) == (400, "too_many_tokens")


async def test_expired_key_is_401_with_a_reason(core: Running) -> None:
    """Over both protocols."""
    keys = Keys(known=[KnownKey(digest("sesame"), Caller("a"), expires=datetime(2020, 1, 1, tzinfo=UTC))])
    async with served(core, keys=keys) as edges:
        response = await post(edges, BODY, **KEY)
        assert (response.status_code, response.json()["error"]["code"]) == (401, "expired_api_key")
        assert "expired at 2020-01-01T00:00:00Z" in response.text
        async with grpc.aio.insecure_channel(edges.address) as channel:
            with pytest.raises(grpc.aio.AioRpcError, match="expired at 2020") as caught:
                await _unary(channel)
        assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
