"""Highlights over gRPC and REST: the fields that ask for them, and their form in responses."""

import asyncio
from typing import Any

import cohere
import grpc
import pytest

from rerank.v1 import rerank_pb2 as pb
from support.http import post
from support.running import Served

_TEXTS = ["10 11\n40 41\n20 21", "30 31\n10 11", "99 99"]
"""Each line is a sentence. The logit of the small model is the sum of the numbers."""
_BODY: dict[str, Any] = {"query": "0", "documents": _TEXTS, "score_type": "raw"}
_SPANS = [[(0, 5, 198.0)], [(6, 11, 81.0), (12, 17, 41.0)], [(0, 5, 61.0), (6, 11, 21.0)]]
"""Start, end and score of the two best sentences of each result."""


async def _results(edges: Served, path: str = "/v1/rerank", **fields: Any) -> list[dict[str, Any]]:
    response = await post(edges, _BODY | fields, path)
    assert response.status_code == 200, response.text
    results: list[dict[str, Any]] = response.json()["results"]
    return results


@pytest.mark.parametrize("path", ["/v1/rerank", "/v2/rerank", "/v1/models/rerank"])
async def test_json_has_highlights_best_first(edges: Served, path: str) -> None:
    """Without the field, the key is absent."""
    results = await _results(edges, path, highlights=2)
    assert [result["index"] for result in results] == [2, 0, 1]
    assert [
        [(each["start"], each["end"], each["relevance_score"]) for each in result["highlights"]] for result in results
    ] == _SPANS
    assert not any({"highlights", "relevant_spans"} & result.keys() for result in await _results(edges, path))


@pytest.mark.parametrize(
    ("wanted", "spans"),
    [
        ({"mode": "enabled", "max_spans": 2}, _SPANS),
        ({"mode": "enabled", "max_spans": 1}, [spans[:1] for spans in _SPANS]),
        ({"mode": "enabled", "threshold": 41}, [_SPANS[0], _SPANS[1], _SPANS[2][:1]]),
        ({"mode": "enabled", "threshold": 90, "max_spans": 5}, [_SPANS[0], [], []]),
        ({"mode": "enabled"}, [_SPANS[0], [*_SPANS[1], (0, 5, 21.0)], _SPANS[2]]),
        (True, [_SPANS[0], [*_SPANS[1], (0, 5, 21.0)], _SPANS[2]]),
        ({"mode": "disabled"}, [[], [], []]),
        (False, [[], [], []]),
    ],
    ids=["two", "one", "threshold", "high threshold", "all", "true", "disabled", "false"],
)
async def test_relevant_spans_of_cohere(edges: Served, wanted: Any, spans: list[Any]) -> None:
    """A document without a span has no key, as at Cohere."""
    results = await _results(edges, "/v2/rerank", relevant_spans=wanted)
    assert [
        [(each["start"], each["end"], each["score"]) for each in result.get("relevant_spans", [])] for result in results
    ] == spans
    assert all(result.get("relevant_spans", True) for result in results)


async def test_default_threshold_of_relevant_spans_is_that_of_cohere(edges: Served) -> None:
    """0.1, of the type of `relevance_score`."""
    text = "0 0 0 2\n0 0 0 0\n0 0 1 0"
    for fields, count in (({}, 3), ({"score_type": "raw"}, 2)):
        body = {"query": "0", "documents": [text], "relevant_spans": {"mode": "enabled"}, **fields}
        (result,) = (await post(edges, body)).json()["results"]
        assert len(result["relevant_spans"]) == count


async def test_both_fields_apply(edges: Served) -> None:
    """Each has its own number of sentences."""
    results = await _results(edges, highlights=1, relevant_spans={"mode": "enabled"})
    assert [(len(result["highlights"]), len(result["relevant_spans"])) for result in results] == [
        (1, 1),
        (1, 3),
        (1, 2),
    ]


async def test_cohere_sdk_reads_relevant_spans(edges: Served) -> None:
    """The class of the SDK is sent, and its class is returned."""

    def call() -> list[list[tuple[int, int]]]:
        with cohere.ClientV2(api_key="any", base_url=str(edges.http.base_url)) as client:
            response = client.rerank(
                model="small",
                query="0",
                documents=_TEXTS,
                relevant_spans=cohere.RerankRelevantSpans(mode="enabled", threshold=0.5, max_spans=2),
            )
        return [[(span.start, span.end) for span in result.relevant_spans or ()] for result in response.results]

    assert await asyncio.to_thread(call) == [[(start, end) for start, end, _ in spans] for spans in _SPANS]


async def test_grpc_has_highlights(edges: Served) -> None:
    """Unary and stream return the same, with logits."""
    unary = await edges.client.rerank("0", _TEXTS, highlights=2, score_type=pb.SCORE_TYPE_RAW)
    stream = await edges.client.rerank_stream("0", _TEXTS, highlights=2, top_n=3, score_type=pb.SCORE_TYPE_RAW)
    for response in (unary, stream):
        assert [
            [(each.span.start, each.span.end, each.logit) for each in result.highlights] for result in response.results
        ] == _SPANS
        assert all(each.logit == each.relevance_score for result in response.results for each in result.highlights)
        assert response.usage.pairs == 3 + 4
    plain = await edges.client.rerank("0", _TEXTS)
    assert not any(result.highlights for result in plain.results)


async def test_stream_without_top_n_is_rejected(edges: Served) -> None:
    """The number of its results is not known."""
    with pytest.raises(grpc.aio.AioRpcError, match="set top_n to at most 100"):
        await edges.client.rerank_stream("0", _TEXTS, highlights=1)
    with pytest.raises(grpc.aio.AioRpcError, match="highlights must be at least 0, not -1"):
        await edges.client.rerank("0", _TEXTS, highlights=-1)


async def test_too_many_results_are_rejected(edges: Served) -> None:
    """The error names the field to set, the number of results and the limit, for both fields."""
    for fields in ({"highlights": 1}, {"relevant_spans": {"mode": "enabled"}}):
        response = await post(edges, _BODY | {"documents": ["1"] * 101} | fields)
        assert response.status_code == 400
        assert response.json()["error"]["param"] == "top_n"
        assert "at most 100 results, and this request has 101 results" in response.json()["message"]


async def test_spans_of_an_object_are_those_of_its_scored_text(edges: Served) -> None:
    """As for `best_window`. The text is that of `key: value` lines."""
    document = {"title": "7 7", "text": "50 51", "year": 1995}
    (result,) = await _results(edges, documents=[document], highlights=1)
    (best,) = result["highlights"]
    assert "title: 7 7\ntext: 50 51\nyear: 1995"[best["start"] : best["end"]] == "text: 50 51"


async def test_lone_surrogates_count_as_one_code_point(edges: Served) -> None:
    """They become U+FFFD."""
    content = b'{"query": "0", "documents": ["\\ud83d 10 0 0 0\\n\\ud83d\\ude00 50 0 0 0"], "highlights": 1}'
    response = await edges.http.post("/v1/rerank", content=content, headers={"content-type": "application/json"})
    (best,) = response.json()["results"][0]["highlights"]
    assert (best["start"], best["end"]) == (11, 21)
