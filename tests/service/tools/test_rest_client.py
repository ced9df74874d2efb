"""The REST client against our own server and one that speaks TEI's JSON."""

from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from rerank.v1 import rerank_pb2 as pb
from rerank_service.api.auth import Keys
from rerank_service.errors import InvalidRequest, SettingsInvalid
from rerank_service.tools.rest_client import RestCallFailed, RestClient
from support.http import listening
from support.running import Running, Served, served

DOCUMENTS = ("3", "5", "1")


async def test_it_ranks_as_grpc_does(edges: Served) -> None:
    """The same order, scores and windows."""
    long = ("1 " * 40).strip()
    async with RestClient(str(edges.http.base_url)) as client:
        for documents, top_n in ((DOCUMENTS, None), (DOCUMENTS, 2), ((*DOCUMENTS, long), None)):
            ours = await client.rerank("0", documents, top_n=top_n, model="small")
            theirs = await edges.client.rerank("0", documents, top_n=top_n)
            for one, other in zip(ours.results, theirs.results, strict=True):
                assert (one.index, one.windows, one.best_window) == (other.index, other.windows, other.best_window)
                assert one.relevance_score == pytest.approx(other.relevance_score)
            assert ours.model == theirs.model == "small"
            assert ours.usage.prompt_tokens == theirs.usage.prompt_tokens
        raw = await client.rerank("0", DOCUMENTS, score_type=pb.SCORE_TYPE_RAW)
        assert [one.logit for one in raw.results] == [5.0, 3.0, 1.0]
        cut = await client.rerank("0", (long,), too_long=pb.TOO_LONG_CUT)
        assert cut.results[0].truncated


async def test_it_lists_models(edges: Served) -> None:
    """With the fields that REST has."""
    async with RestClient(str(edges.http.base_url)) as client:
        [ours] = await client.models()
    [theirs] = await edges.client.models()
    assert (ours.name, ours.max_tokens, ours.digest) == (theirs.name, theirs.max_tokens, theirs.digest)


async def test_an_error_has_the_servers_sentence(core: Running) -> None:
    """And its stable word."""
    async with served(core, keys=Keys(["sesame"])) as edges:
        url = str(edges.http.base_url)
        async with RestClient(url, api_key="wrong") as client:
            with pytest.raises(RestCallFailed, match="HTTP 401"):
                await client.models()
        for query, model, key, code in (
            ("0", "small", "wrong", "invalid_api_key"),
            ("0", "other", "sesame", "model_not_found"),
            ("0 " * 40, "small", "sesame", "query_too_long"),
        ):
            async with RestClient(url, api_key=key) as client:
                with pytest.raises(RestCallFailed, match="HTTP 40") as caught:
                    await client.rerank(query, DOCUMENTS, model=model)
            assert caught.value.server_reason == code
    async with RestClient(url) as client:
        with pytest.raises(RestCallFailed, match="no connection"):
            await client.rerank("0", DOCUMENTS)


async def test_teis_json_is_ranked() -> None:
    """By trying the routes in turn."""

    async def rank(request: Request) -> JSONResponse:
        body: Any = await request.json()
        if "texts" not in body:
            return JSONResponse({"error": "missing field `texts`"}, 422)
        return JSONResponse([{"index": at, "score": float(text)} for at, text in enumerate(body["texts"])])

    async with listening(Route("/rerank", rank, methods=["POST"])) as url, RestClient(url) as client:
        for _ in range(2):
            ranked = await client.rerank("0", DOCUMENTS)
            assert [one.index for one in ranked.results] == [1, 0, 2]
        with pytest.raises(RestCallFailed, match="has no max_tokens_per_doc"):
            await client.rerank("0", DOCUMENTS, max_tokens_per_doc=1)


@pytest.mark.parametrize("url", ["http://xn--:1", "http://a\x00:1"])
def test_a_url_that_cannot_be_called_is_refused(url: str) -> None:
    """By name, before any call."""
    with pytest.raises(SettingsInvalid, match="is not a URL"):
        RestClient(url)


async def test_a_count_below_one_is_refused(edges: Served) -> None:
    """As over gRPC."""
    async with RestClient(str(edges.http.base_url)) as client:
        with pytest.raises(InvalidRequest, match="top_n is 0"):
            await client.rerank("0", DOCUMENTS, top_n=0)


async def test_a_wrong_answer_is_not_a_ranking() -> None:
    """It is refused, and not shown."""

    async def rank(request: Request) -> JSONResponse:
        return JSONResponse({"results": [{"index": 0}]})

    async with listening(Route("/v1/rerank", rank, methods=["POST"])) as url, RestClient(url) as client:
        with pytest.raises(RestCallFailed, match="is not a ranking"):
            await client.rerank("0", DOCUMENTS)
