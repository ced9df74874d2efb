"""Queries near and beyond the model's token limit, over gRPC and REST: cut and marked, or rejected."""

from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
import pytest_asyncio
from tei_client.stubs import tei_pb2_grpc

from rerank.v1 import rerank_pb2 as pb
from rerank_service.models.bundle import Bundle
from support.limits import request_limits
from support.running import Served, running, served
from support.tei_calls import unary_request

pytestmark = pytest.mark.asyncio(loop_scope="module")

_CHAT = "user: my router drops the connection every evening and i tried everything i could think of " * 40
"""A chat history of 720 tokens. The starter model takes 512 tokens."""
_DOCUMENTS = ["The router restarts when its power supply is too weak for it.", "Bananas are yellow."]
_PASSAGES = [{"text": text} for text in _DOCUMENTS]
_PAIRED: list[tuple[str, dict[str, Any]]] = [
    ("/score", {"text_1": _CHAT, "text_2": _DOCUMENTS, "truncate_prompt_tokens": -1}),
    ("/score", {"queries": [_CHAT, "bananas"], "documents": _DOCUMENTS}),
]
_CUT: list[tuple[str, dict[str, Any]]] = [
    ("/rerank", {"query": _CHAT, "texts": _DOCUMENTS, "truncate": True}),
    ("/rerank", {"query": _CHAT, "texts": _DOCUMENTS}),
    ("/v1/rerank", {"query": _CHAT, "documents": _DOCUMENTS, "truncation": True}),
    ("/v1/rerank", {"query": _CHAT, "documents": _DOCUMENTS, "top_k": 2}),
    ("/v1/ranking", {"query": {"text": _CHAT}, "passages": _PASSAGES, "truncate": "END"}),
    ("/v1/ranking", {"query": {"text": _CHAT}, "passages": _PASSAGES}),
    ("/rerank", {"query": _CHAT, "documents": _DOCUMENTS, "truncate_prompt_tokens": -1}),
    ("/v1/rerank", {"query": _CHAT, "documents": _DOCUMENTS, "truncate_prompt_tokens": 100}),
    ("/v2/rerank", {"query": _CHAT, "documents": _DOCUMENTS}),
    ("/v1/reranking", {"query": _CHAT, "input": _DOCUMENTS}),
    ("/api/v1/services/rerank/text-rerank/text-rerank", {"input": {"query": _CHAT, "documents": _DOCUMENTS}}),
    *_PAIRED,
]
_REFUSED: list[tuple[str, dict[str, Any]]] = [
    ("/rerank", {"query": _CHAT, "texts": _DOCUMENTS, "truncate": False}),
    ("/v1/rerank", {"query": _CHAT, "documents": _DOCUMENTS, "truncation": False}),
    (
        "/v1/ranking",
        {"query": {"text": _CHAT}, "passages": _PASSAGES, "truncate": "NONE"},
    ),
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def bundled(starter: Bundle) -> AsyncIterator[Served]:
    """Yield both servers on the starter model."""
    async with running(starter) as core, served(core) as edges:
        yield edges


def _scores(content: Any) -> list[dict[str, Any]]:
    lists = ("results", "rankings", "data")
    if isinstance(content, dict) and "output" in content:
        content = content["output"]
    return content if isinstance(content, list) else next(content[name] for name in lists if name in content)


@pytest.mark.parametrize(("path", "body"), _CUT, ids=lambda value: value if isinstance(value, str) else "-".join(value))
async def test_query_is_cut_where_the_request_allows_it(bundled: Served, path: str, body: dict[str, Any]) -> None:
    """The answer is marked by a header, and by a field where the dialect has a place for it."""
    response = await bundled.http.post(path, json=body)
    assert response.status_code == 200, response.text
    assert len(_scores(response.json())) == 2
    assert response.headers["x-query-truncated"] == "true"


@pytest.mark.parametrize(("path", "body"), _REFUSED, ids=lambda value: value if isinstance(value, str) else "")
async def test_query_is_rejected_where_the_request_forbids_a_cut(
    bundled: Served, path: str, body: dict[str, Any]
) -> None:
    """The message names the query, its tokens and the bound."""
    response = await bundled.http.post(path, json=body)
    assert response.status_code in {400, 422}
    assert "query has 720 tokens and leaves too little room" in response.text


async def test_unified_and_score_responses_have_a_field(bundled: Served) -> None:
    """A whole query has neither the field nor the header."""
    for path, body in (("/v2/rerank", {"query": _CHAT, "documents": _DOCUMENTS}), _PAIRED[0], _PAIRED[1]):
        assert (await bundled.http.post(path, json=body)).json()["query_truncated"] is True
    response = await bundled.http.post("/v2/rerank", json={"query": "router", "documents": _DOCUMENTS})
    assert "query_truncated" not in response.json()
    assert "x-query-truncated" not in response.headers


async def test_query_near_the_limit_leaves_room_for_documents(bundled: Served) -> None:
    """500 tokens of query, documents of 330 tokens: 4 windows each, where it was 45."""
    query = "my router drops the connection every evening and i tried everything " * 40 + "again " * 20
    document = "The router restarts when its power supply is too weak for it. " * 25
    body = {"query": query, "documents": [document, f"{document} again"]}
    content = (await bundled.http.post("/v1/rerank", json=body)).json()
    assert [result["windows"] for result in content["results"]] == [4, 4]
    assert content["usage"]["prompt_tokens"] < 2 * 2_000
    assert content["query_truncated"] is True


async def test_pair_limit_cuts_the_document_and_keeps_the_query(bundled: Served) -> None:
    """`truncate_prompt_tokens: 511` on a model with 512: the document is cut and marked."""
    body = {"query": "weak power supply", "documents": [_DOCUMENTS[0] * 60, "short"], "truncate_prompt_tokens": 511}
    content = (await bundled.http.post("/v1/rerank", json=body)).json()
    by_index = {result["index"]: result for result in content["results"]}
    assert by_index[0]["truncated"] is True
    assert "truncated" not in by_index[1]
    assert "query_truncated" not in content
    assert content["usage"]["prompt_tokens"] == 511 + 3 + 3 + 2


@pytest.mark.parametrize("tokens", [5000, 512, -1, 0, None])
async def test_pair_limit_from_the_model_up_cuts_nothing_that_fits(bundled: Served, tokens: int | None) -> None:
    """Also the neutral values."""
    body = {"query": "weak power supply", "documents": _DOCUMENTS}
    plain = (await bundled.http.post("/v1/rerank", json=body)).json()["results"]
    limited = (await bundled.http.post("/v1/rerank", json={**body, "truncate_prompt_tokens": tokens})).json()
    assert limited["results"] == plain


async def test_limit_of_the_query_cuts_it(bundled: Served) -> None:
    """vLLM's `max_tokens_per_query`, and `max_query_tokens` over gRPC, on the side that `truncation_side` names."""
    query, documents = "banana banana power", list(_DOCUMENTS)
    for side, cut_side, alone in (("right", pb.CUT_SIDE_RIGHT, "banana"), ("left", pb.CUT_SIDE_LEFT, "power")):
        body = {"query": query, "documents": documents, "max_tokens_per_query": 1, "truncation_side": side}
        cut = (await bundled.http.post("/v1/rerank", json=body)).json()
        expected = (await bundled.http.post("/v1/rerank", json={"query": alone, "documents": documents})).json()
        assert (cut["results"], cut["query_truncated"]) == (expected["results"], True)
        response = await bundled.client.rerank(query, documents, max_query_tokens=1, cut_side=cut_side)
        assert [result.relevance_score for result in response.results] == [
            result["relevance_score"] for result in expected["results"]
        ]
        assert response.query_truncated


@pytest.mark.parametrize(
    ("options", "cut"),
    [
        ({}, True),
        ({"too_long": pb.TOO_LONG_CUT}, True),
        ({"too_long": pb.TOO_LONG_REFUSE}, False),
        ({"too_long": pb.TOO_LONG_WHOLE}, False),
        ({"too_long": pb.TOO_LONG_REFUSE, "query_too_long": pb.QUERY_TOO_LONG_CUT}, True),
        ({"query_too_long": pb.QUERY_TOO_LONG_REFUSE}, False),
    ],
)
async def test_grpc_has_the_same_choice(bundled: Served, options: dict[str, Any], cut: bool) -> None:
    """`query_too_long` decides; by default it follows `too_long`. Unary calls and streams."""
    if cut:
        assert (await bundled.client.rerank(_CHAT, _DOCUMENTS, **options)).query_truncated
        assert (await bundled.client.rerank_stream(_CHAT, _DOCUMENTS, **options)).query_truncated
        return
    for call in (bundled.client.rerank, bundled.client.rerank_stream):
        with pytest.raises(grpc.aio.AioRpcError, match="query has 720 tokens") as caught:
            await call(_CHAT, _DOCUMENTS, **options)
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_tei_over_grpc_marks_the_call(bundled: Served) -> None:
    """`truncate` allows the cut; without it, the query is an error. The mark is initial metadata."""
    async with grpc.aio.insecure_channel(bundled.address) as channel:
        stub = tei_pb2_grpc.RerankStub(channel)
        call = stub.Rerank(unary_request(_DOCUMENTS, query=_CHAT, truncate=True))
        assert len((await call).ranks) == 2
        assert dict(await call.initial_metadata())["x-query-truncated"] == "true"
        with pytest.raises(grpc.aio.AioRpcError, match="query has 720 tokens"):
            await stub.Rerank(unary_request(_DOCUMENTS, query=_CHAT))


async def test_long_documents_are_admitted_by_their_real_cost(starter: Bundle) -> None:
    """505 tokens of query made 90 windows of each document, far more work than was estimated."""
    query = "my router drops the connection every evening and i tried everything " * 40 + "again " * 25
    document = "The router restarts when its power supply is too weak for it. " * 25
    async with running(starter, limits=request_limits()) as core, served(core, default_timeout=60) as edges:
        response = await edges.client.rerank(query, [f"{document} {at}" for at in range(5)])
    assert response.usage.windows == 5 * 4
    assert response.usage.prompt_tokens < 5 * 2_000
