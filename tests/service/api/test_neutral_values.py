"""Neutral values: what generated clients send for unset fields has the same response as an absent field."""

import json
from typing import Any

import grpc
import pytest

from rerank.v1 import rerank_pb2 as pb
from support.http import post
from support.running import Served

_LONG = " ".join(["1"] * 60)
_UNIFIED_PATHS = ("/v1/rerank", "/v2/rerank", "/infinity/rerank")
_UNIFIED = {"query": "0", "documents": ["1", _LONG, "2"]}
_TEI = {"query": "0", "texts": ["1", "3", "2"]}
_MIXEDBREAD = {"query": "0", "input": ["1", "3", "2"]}
_NVIDIA = {"query": {"text": "0"}, "passages": [{"text": "1"}, {"text": "3"}, {"text": "2"}]}
_DASHSCOPE_PATH = "/api/v1/services/rerank/text-rerank/text-rerank"
_DASHSCOPE = {"model": "small", "input": {"query": "0", "documents": ["1", "3", "2"]}}
_SCORE = {"text_1": "0", "text_2": ["1", "3", "2"]}
_TEXT_SOURCE = {"inlineDocumentSource": {"type": "TEXT", "textDocument": {"text": "1"}}}
_BEDROCK = {"queries": [{"textQuery": {"text": "0"}}], "sources": [_TEXT_SOURCE]}
_BEDROCK_OPTIONS = {"numberOfResults": 0, "modelConfiguration": {"modelArn": "", "additionalModelRequestFields": {}}}
_PINECONE = {
    "query": "0",
    "documents": [{"text": "1"}, {"text": "3"}],
    "rank_fields": ["text"],
    "return_documents": False,
}
_WATSONX_OPTIONS = {"return_options": {"top_n": 0, "inputs": False, "query": False}, "truncate_input_tokens": 0}
_UNIFIED_FIELDS: tuple[dict[str, Any], ...] = (
    {"top_n": 0},
    {"top_n": 0.0},
    {"top_k": 0},
    {"top_n": 0, "top_k": 0},
    {"max_tokens_per_doc": 0, "max_chunks_per_doc": 0},
    {"model": "", "instruction": "", "instruct": "", "kwargs": ""},
    {"window_score": "", "score_type": "", "truncation_side": ""},
    {"rank_fields": [], "kwargs": {}, "priority": 0, "max_tokens_per_query": 0},
    {"return_documents": False, "return_len": False, "raw_scores": False, "return_embeddings": False},
    {"texts": [], "input": None, "passages": []},
    {"highlights": 0, "relevant_spans": False},
    {"highlights": None, "relevant_spans": None},
    {"relevant_spans": {"mode": "disabled", "threshold": 0.0, "max_spans": 0}},
    {"relevant_spans": {"mode": "", "threshold": None, "max_spans": None}},
)
_CASES = (
    *((path, _UNIFIED, extra) for path in _UNIFIED_PATHS for extra in _UNIFIED_FIELDS),
    ("/rerank", _TEI, {"truncation_direction": "", "model": "", "raw_scores": False, "return_text": False, "top_n": 0}),
    ("/rerank", _TEI, {"documents": None}),
    ("/v2/rerank", _TEI, {"documents": []}),
    ("/v1/reranking", _MIXEDBREAD, {"top_k": 0, "model": "", "instruction": "", "rank_fields": []}),
    ("/v1/reranking", _MIXEDBREAD, {"return_input": False, "rewrite_query": False, "documents": [], "texts": None}),
    ("/v1/ranking", _NVIDIA, {"top_n": 0, "model": ""}),
    ("/v1/reranking", _NVIDIA, {"documents": [], "input": []}),
    ("/v1/ranking", _NVIDIA, {"passages": [{"text": text, "image": None, "video": ""} for text in ("1", "3", "2")]}),
    (_DASHSCOPE_PATH, _DASHSCOPE, {"parameters": {}}),
    (_DASHSCOPE_PATH, _DASHSCOPE, {"parameters": []}),
    (_DASHSCOPE_PATH, _DASHSCOPE, {"parameters": {"top_n": 0, "return_documents": False, "instruct": ""}, "model": ""}),
    ("/v1/ranking", _NVIDIA, {"top_k": 0}),
    ("/rerank", _BEDROCK, {"nextToken": "", "documents": [], "texts": None}),
    ("/rerank", _BEDROCK, {"rerankingConfiguration": {"bedrockRerankingConfiguration": _BEDROCK_OPTIONS}}),
    ("/rerank", _PINECONE, {"top_n": 0, "model": "", "parameters": {"truncate": "", "max_chunks_per_doc": 0}}),
    ("/rerank", _PINECONE, {"parameters": None}),
    ("/hf/rerank", _TEI, {"top_n": 0, "return_text": False, "return_documents": False, "documents": [], "model": ""}),
    ("/ml/v1/text/rerank", {"query": "0", "inputs": ["1", "3"]}, {"parameters": _WATSONX_OPTIONS, "model_id": ""}),
    ("/score", _SCORE, {"priority": 0, "instruction": "", "truncation_side": "", "max_tokens_per_query": 0}),
    ("/score", _SCORE, {"max_tokens_per_doc": 0}),
    ("/score", _SCORE, {"max_tokens_per_doc": None}),
    ("/score", _SCORE, {"queries": "", "documents": [], "items": [], "data_1": None, "data_2": ""}),
    ("/score", {"data_1": "0", "data_2": ["1", "3"]}, {"text_1": "", "text_2": [], "queries": []}),
)


@pytest.mark.parametrize(("path", "body", "extra"), _CASES)
async def test_neutral_value_has_the_response_of_an_absent_field(
    edges: Served, path: str, body: dict[str, Any], extra: dict[str, Any]
) -> None:
    """Only the id of the response and its time may differ."""
    absent, neutral = await post(edges, body, path), await post(edges, body | extra, path)
    assert (absent.status_code, neutral.status_code) == (200, 200), neutral.text
    assert _without_id(neutral.json()) == _without_id(absent.json())


def _without_id(content: Any) -> Any:
    if isinstance(content, dict):
        # Voyage's `data` depends on the names of the fields
        return {name: content[name] for name in content.keys() - {"id", "created", "created_at", "request_id", "data"}}
    return content


_LARGE = (2**31, 2**53 - 1, 2**63 - 1, 2**64, 10**30, 1e300)
"""Largest integers of languages, and what does not fit into 64 bits."""


@pytest.mark.parametrize("value", _LARGE)
@pytest.mark.parametrize(
    ("path", "body", "names"),
    [
        ("/v1/rerank", _UNIFIED, ("top_n", "max_tokens_per_doc", "max_chunks_per_doc", "max_tokens_per_query")),
        ("/v1/rerank", {**_UNIFIED, "truncate_prompt_tokens": -1}, ("truncate_prompt_tokens",)),
        ("/v1/rerank", {**_UNIFIED, "overlap_tokens": 31}, ("overlap_tokens",)),
        ("/v1/reranking", _MIXEDBREAD | {"top_k": 2**31 - 1}, ("top_k",)),
        ("/v1/ranking", _NVIDIA, ("top_n", "top_k")),
        ("/hf/rerank", _TEI, ("top_n",)),
        ("/score", {**_SCORE, "truncate_prompt_tokens": -1}, ("truncate_prompt_tokens",)),
    ],
)
async def test_large_number_is_no_limit(
    edges: Served, value: float, path: str, body: dict[str, Any], names: tuple[str, ...]
) -> None:
    """Callers write the largest integer of their language for "all"."""
    expected = await post(edges, body, path)
    large = await post(edges, json.dumps(body | dict.fromkeys(names, value)).encode(), path)
    assert (expected.status_code, large.status_code) == (200, 200), large.text
    assert _without_id(large.json()) == _without_id(expected.json())


async def test_top_k_applies_beside_a_top_n_of_zero(edges: Served) -> None:
    """0 stands for an absent field, so it does not override `top_k`."""
    content = (await post(edges, {**_UNIFIED, "top_n": 0, "top_k": 1})).json()
    assert len(content["results"]) == 1


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        *(("/v1/rerank", _UNIFIED | {name: -1}, name) for name in ("top_n", "top_k", "max_tokens_per_doc")),
        *(("/v1/rerank", _UNIFIED | {name: -1}, name) for name in ("max_chunks_per_doc", "overlap_tokens")),
        ("/v1/rerank", _UNIFIED | {"max_tokens_per_query": -1}, "max_tokens_per_query"),
        ("/v1/rerank", _UNIFIED | {"max_tokens_per_query": False}, "max_tokens_per_query"),
        ("/v1/rerank", _UNIFIED | {"top_n": False}, "top_n"),
        ("/v1/rerank", _UNIFIED | {"top_n": -1e30}, "top_n"),
        ("/v1/rerank", _UNIFIED | {"top_n": 1e9 + 0.5}, "top_n"),
        ("/v1/reranking", _MIXEDBREAD | {"top_k": -1}, "top_k"),
        ("/v1/ranking", _NVIDIA | {"top_n": -1}, "top_n"),
        ("/v1/rerank", {"query": "", "documents": ["1"]}, "query"),
        ("/v1/rerank", {"query": "0", "documents": [], "texts": []}, "documents"),
        ("/score", {"queries": "", "documents": ["1"]}, "queries"),
        ("/score", {"queries": [], "items": []}, "queries"),
        ("/score", {**_SCORE, "items": ["1"]}, "items"),
    ],
)
async def test_values_that_are_not_neutral_are_errors(edges: Served, path: str, body: Any, field: str) -> None:
    """Negative numbers, a number as a boolean, and a request without a query or documents."""
    response = await post(edges, body, path)
    assert response.status_code == 400, response.text
    assert response.json()["message"].startswith((f"{field} ", f"Set either {field} "))


@pytest.mark.parametrize("value", ["", "0", "0.0"])
async def test_empty_headers_are_absent(edges: Served, value: str) -> None:
    """An empty timeout, and one of 0, selects the default. The request gets a new id."""
    headers = {"x-request-timeout": value, "x-request-id": "", "authorization": "", "x-api-key": "", "api-key": ""}
    response = await post(edges, _UNIFIED, **headers)
    assert response.status_code == 200, response.text
    assert response.headers["x-request-id"]


@pytest.mark.parametrize("name", ["top_n", "max_tokens_per_doc", "max_chunks_per_doc"])
async def test_grpc_limit_of_zero_is_no_limit(edges: Served, name: str) -> None:
    """The stub of a language without presence sends 0. Unary calls and streams."""
    documents = ["1", _LONG, "2"]
    absent = await edges.client.rerank("0", documents)
    neutral: dict[str, Any] = {name: 0}
    negative: dict[str, Any] = {name: -1}
    for response in (
        await edges.client.rerank("0", documents, **neutral),
        await edges.client.rerank_stream("0", documents, **neutral),
    ):
        assert response.results == absent.results
        assert len(response.results) == len(documents)
    with pytest.raises(grpc.aio.AioRpcError, match=f"{name} must be at least 0, not -1") as caught:
        await edges.client.rerank("0", documents, **negative)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_grpc_message_with_every_default_set(edges: Served) -> None:
    """Each optional field is present, with the default of its type. `min_score` is left out: 0.0 is a minimum."""
    request = pb.RerankRequest(
        query="0",
        documents=[pb.Document(text="1", id=""), pb.Document(text="")],
        model="",
        rank_fields=[],
        top_n=0,
        return_documents=False,
        max_tokens_per_doc=0,
        score_type=pb.SCORE_TYPE_UNSPECIFIED,
        priority=0,
        instruction="",
        max_chunks_per_doc=0,
        overlap_tokens=0,
        window_score=pb.WINDOW_SCORE_UNSPECIFIED,
        too_long=pb.TOO_LONG_UNSPECIFIED,
        cut_side=pb.CUT_SIDE_UNSPECIFIED,
    )
    response = await edges.client._stub.Rerank(request)
    assert [result.index for result in response.results] == [0, 1]
    assert (await edges.client._stub.GetModel(pb.GetModelRequest(name=""))).name == "small"


async def test_grpc_stream_accepts_an_empty_chunk(edges: Served) -> None:
    """A header without documents, then messages without documents."""
    request = pb.RerankRequest(query="0", top_n=0)
    stream = edges.client._stub.RerankStream()
    await stream.write(pb.RerankStreamRequest(header=pb.RerankHeader(request=request)))
    for texts in ([], ["1", "2"], []):
        chunk = pb.DocumentChunk(documents=[pb.Document(text=text) for text in texts])
        await stream.write(pb.RerankStreamRequest(documents=chunk))
    await stream.done_writing()
    (message,) = [message async for message in stream]
    assert [result.index for result in message.ranking.results] == [1, 0]
