"""Long documents over both edges: what asks for what, and what is told of their windows."""

from typing import Any

import grpc
import pytest

from rerank.v1 import rerank_pb2 as pb
from rerank_service.api.http.dialects import all_dialects
from support.running import Served

_ONES, _TWOS = " ".join(["1"] * 28), " ".join(["2"] * 28)
_LONG = f"{_ONES} {_TWOS} {_ONES} 1"
"""85 tokens, of which the small model's length holds 28."""


async def _post(edges: Served, path: str = "/v1/rerank", **body: Any) -> Any:
    answer = await edges.http.post(path, json={"query": "0", "overlap_tokens": 0, "raw_scores": True, **body})
    return answer.json() if answer.status_code == 200 else (answer.status_code, answer.json())


async def test_json_tells_of_windows(edges: Served) -> None:
    """Only of documents that have several, and of those that were cut."""
    answer = await _post(edges, documents=[_LONG, "60", f"{_LONG} 1"], max_tokens_per_doc=84)
    start = len(_ONES) + 1
    window = {"start": start, "end": start + len(_TWOS)}
    of_long = {"relevance_score": 56.0, "windows": 3, "best_window": window, "truncated": True}
    assert answer["results"] == [
        {"index": 1, "relevance_score": 60.0},
        {"index": 0, **of_long},
        {"index": 2, **of_long},
    ]


async def test_search_units_count_windows(edges: Served) -> None:
    """As Cohere bills the chunks of long documents."""
    answer = await _post(edges, documents=[_LONG] * 25 + ["1"])
    assert answer["meta"]["billed_units"]["search_units"] == 2


@pytest.mark.parametrize(
    ("fields", "score"),
    [
        ({}, 56),
        ({"max_chunks_per_doc": 1}, 28),
        ({"max_chunks_per_doc": 1024, "overlap_tokens": 80}, 56),
        ({"overlap_tokens": 14, "window_score": "best_two"}, 49),
        ({"window_score": "best_two"}, 42),
        ({"truncate_prompt_tokens": -1}, 28),
        ({"truncation": True}, 56),
        ({"truncation": False}, 56),
        ({"truncation": None, "max_chunks_per_doc": None, "overlap_tokens": None, "window_score": None}, 53),
    ],
)
async def test_what_clients_ask_of_long_documents(edges: Served, fields: dict[str, Any], score: float) -> None:
    """Cohere's and SiliconFlow's chunks, Voyage's and vLLM's truncation. With an eighth of windows shared, as where
    nothing is asked, the twos lie across two of them."""
    answer = await _post(edges, documents=[_LONG], **fields)
    assert [one["relevance_score"] for one in answer["results"]] == [score]


async def test_voyages_truncation_refuses_what_would_be_cut(edges: Served) -> None:
    """Without an error object, which voyageai fails on."""
    status, error = await _post(edges, documents=["1", _LONG], truncation=False, max_tokens_per_doc=80)
    assert (status, set(error)) == (400, {"message", "detail"})
    assert error["detail"].startswith("documents[1] is too long: at most 80 tokens are read")


@pytest.mark.parametrize(
    ("fields", "param"),
    [({"max_chunks_per_doc": 0}, "max_chunks_per_doc"), ({"overlap_tokens": -1}, "overlap_tokens")],
)
async def test_bounds_are_named(edges: Served, fields: dict[str, Any], param: str) -> None:
    """Over both edges."""
    status, error = await _post(edges, documents=["1"], **fields)
    assert (status, error["error"]["param"]) == (400, param)
    with pytest.raises(grpc.aio.AioRpcError, match=f"{param} must be at least"):
        await edges.client.rerank("0", ["1"], **fields)


@pytest.mark.parametrize(
    ("path", "given", "read"),
    [
        ("/v2/rerank", None, 4096),
        ("/v1/v2/rerank", None, 4096),
        ("/v2/rerank", 9000, 9000),
        ("/v2/rerank", 10, 10),
        ("/v1/rerank", None, None),
        ("/rerank", None, None),
    ],
)
def test_cohere_v2_reads_4096_tokens(path: str, given: int | None, read: int | None) -> None:
    """Where a body does not say; elsewhere the server's own bound holds."""
    body = {"query": "q", "documents": ["d"], "max_tokens_per_doc": given}
    (dialect,) = [one for one in all_dialects() if path in one.paths and one.speaks(body)]
    assert dialect.decode(body).request.max_tokens_per_doc == read


async def test_grpc_tells_of_windows(edges: Served) -> None:
    """Of every document how many; where the best is, of those with several."""
    response = await edges.client.rerank("0", [_LONG, "60"], overlap_tokens=0, cut_side=pb.CUT_SIDE_RIGHT)
    short, long = response.results
    assert (short.windows, short.HasField("best_window"), response.usage.windows) == (1, False, 5)
    assert (long.windows, long.truncated) == (4, False)
    assert _LONG[long.best_window.start : long.best_window.end] == _TWOS


@pytest.mark.parametrize(
    ("options", "logit"),
    [
        ({"too_long": pb.TOO_LONG_CUT}, 28.0),
        ({"too_long": pb.TOO_LONG_CUT, "cut_side": pb.CUT_SIDE_LEFT}, 28.0),
        ({"max_chunks_per_doc": 1}, 28.0),
        ({"window_score": pb.WINDOW_SCORE_BEST_TWO}, 42.0),
    ],
)
async def test_grpc_asks_of_long_documents(edges: Served, options: Any, logit: float) -> None:
    """By the fields of its request."""
    response = await edges.client.rerank("0", [_LONG], overlap_tokens=0, **options)
    assert [one.logit for one in response.results] == [logit]


@pytest.mark.parametrize("field", ["too_long", "cut_side", "window_score"])
async def test_a_word_that_there_is_not_is_refused(edges: Served, field: str) -> None:
    """Numbers of enums that a later version may have."""
    with pytest.raises(grpc.aio.AioRpcError, match=f"{field} has no value 9"):
        await edges.client.rerank("0", ["1"], **{field: 9})  # type: ignore[arg-type]


async def test_a_document_that_must_not_be_cut_is_refused(edges: Served) -> None:
    """By name."""
    with pytest.raises(grpc.aio.AioRpcError, match=r"documents\[1\] is too long: at most 28 tokens"):
        await edges.client.rerank("0", ["1", _LONG], too_long=pb.TOO_LONG_REFUSE)
