"""Long documents over gRPC and REST: the fields that control windows and cuts, and the fields that report them."""

from typing import Any

import grpc
import pytest

from rerank.v1 import rerank_pb2 as pb
from rerank_service.api.http.dialects import all_dialects, cohere_v2
from support.running import Served

_ONES, _TWOS = " ".join(["1"] * 20), " ".join(["2"] * 20)
_LONG = f"{_ONES} {_TWOS} {_ONES} {_ONES}"
"""80 tokens: four windows of 20 on the small model, where the query leaves 28."""


async def _post(edges: Served, path: str = "/v1/rerank", **body: Any) -> Any:
    content = await edges.http.post(path, json={"query": "0", "overlap_tokens": 0, "raw_scores": True, **body})
    return content.json() if content.status_code == 200 else (content.status_code, content.json())


async def test_json_reports_windows_and_cuts(edges: Served) -> None:
    """Documents with one window, and without a cut, have no additional fields."""
    content = await _post(edges, documents=[f"{_LONG} 1", "60", f"{_LONG} 3 3"], max_tokens_per_doc=80)
    start = len(_ONES) + 1
    window = {"start": start, "end": start + len(_TWOS) + 1}
    of_long = {"relevance_score": 40.0, "windows": 4, "best_window": window, "truncated": True}
    assert content["results"] == [
        {"index": 1, "relevance_score": 60.0},
        {"index": 0, **of_long},
        {"index": 2, **of_long},
    ]


async def test_search_units_count_windows(edges: Served) -> None:
    """Cohere bills the chunks of long documents."""
    content = await _post(edges, documents=[_LONG] * 25 + ["1"])
    assert content["meta"]["billed_units"]["search_units"] == 2


@pytest.mark.parametrize(
    ("fields", "score"),
    [
        ({}, 40),
        ({"max_chunks_per_doc": 1}, 36),
        ({"max_chunks_per_doc": 1024, "overlap_tokens": 80}, 43),
        ({"overlap_tokens": 14, "window_score": "best_two"}, 42),
        ({"window_score": "best_two"}, 30),
        ({"truncate_prompt_tokens": -1}, 36),
        ({"truncation": True}, 40),
        ({"truncation": False}, 40),
        ({"truncation": None, "max_chunks_per_doc": None, "overlap_tokens": None, "window_score": None}, 42),
    ],
)
async def test_json_fields_control_windows(edges: Served, fields: dict[str, Any], score: float) -> None:
    """Fields of Cohere, SiliconFlow, Voyage and vLLM.

    By default, windows share an eighth of their tokens, so the twos are in two windows.
    """
    content = await _post(edges, documents=[_LONG], **fields)
    assert [result["relevance_score"] for result in content["results"]] == [score]


async def test_truncation_false_rejects_a_cut(edges: Served) -> None:
    """The error has no error object, because voyageai fails on one."""
    status, error = await _post(edges, documents=["1", _LONG], truncation=False, max_tokens_per_doc=60)
    assert (status, set(error)) == (400, {"message", "detail"})
    assert error["detail"].startswith("documents[1] is too long: beside this query, at most 60 tokens are read")


@pytest.mark.parametrize(
    ("fields", "param"),
    [({"max_chunks_per_doc": -1}, "max_chunks_per_doc"), ({"overlap_tokens": -1}, "overlap_tokens")],
)
async def test_bound_of_a_field_is_named(edges: Served, fields: dict[str, Any], param: str) -> None:
    """Over gRPC and REST."""
    status, error = await _post(edges, documents=["1"], **fields)
    assert (status, error["error"]["param"]) == (400, param)
    with pytest.raises(grpc.aio.AioRpcError, match=f"{param} must be at least"):
        await edges.client.rerank("0", ["1"], **fields)


@pytest.mark.parametrize(
    ("path", "given", "read"),
    [
        ("/v2/rerank", None, 4096),
        ("/v1/v2/rerank", None, 4096),
        ("/v2/v2/rerank", None, 4096),
        ("/v2/rerank", 9000, 9000),
        ("/v2/rerank", 10, 10),
        ("/v1/rerank", None, None),
        ("/rerank", None, None),
    ],
)
def test_cohere_v2_cuts_at_4096_tokens_by_default(path: str, given: int | None, read: int | None) -> None:
    """The limit of the server applies on other paths."""
    body = {"query": "q", "documents": ["d"], "max_tokens_per_doc": given}
    (dialect,) = [dialect for dialect in all_dialects() if path in dialect.paths and dialect.matches(body)]
    assert dialect.decode(body).request.max_tokens_per_doc == read


@pytest.mark.parametrize(
    ("tokens", "limit", "read"),
    [(-1, None, None), (6000, None, None), (-1, 9000, 9000), (0, None, 4096), (None, None, 4096)],
)
def test_cohere_v2_has_no_default_beside_a_cut(tokens: int | None, limit: int | None, read: int | None) -> None:
    """vLLM has `/v2/rerank` too, and its `truncate_prompt_tokens` may allow more. 0 stands for an absent field."""
    body = {"query": "q", "documents": ["d"], "truncate_prompt_tokens": tokens, "max_tokens_per_doc": limit}
    assert cohere_v2.DIALECT.decode(body).request.max_tokens_per_doc == read


async def test_grpc_reports_windows(edges: Served) -> None:
    """Every document has its number of windows. Documents in windows have their best window."""
    response = await edges.client.rerank("0", [_LONG, "60"], overlap_tokens=0, cut_side=pb.CUT_SIDE_RIGHT)
    long, short = sorted(response.results, key=lambda result: result.index)
    assert (short.windows, short.HasField("best_window"), response.usage.windows) == (1, False, 5)
    assert (long.windows, long.truncated) == (4, False)
    assert _LONG[long.best_window.start : long.best_window.end].strip() == _TWOS


@pytest.mark.parametrize(
    ("fields", "window"), [({"max_chunks_per_doc": 1}, {"start": 0, "end": 55}), ({"max_tokens_per_doc": 28}, None)]
)
async def test_single_window_is_reported(edges: Served, fields: dict[str, Any], window: dict[str, int] | None) -> None:
    """A document that was cut to one pair has no windows."""
    (result,) = (await _post(edges, documents=[_LONG], **fields))["results"]
    assert (result.get("windows"), result.get("best_window")) == (window and 1, window)
    (message,) = (await edges.client.rerank("0", [_LONG], **fields)).results
    assert (message.windows, message.HasField("best_window")) == (1, window is not None)


@pytest.mark.parametrize(
    ("options", "logit"),
    [
        ({"too_long": pb.TOO_LONG_CUT}, 36.0),
        ({"too_long": pb.TOO_LONG_CUT, "cut_side": pb.CUT_SIDE_LEFT}, 28.0),
        ({"max_chunks_per_doc": 1}, 36.0),
        ({"window_score": pb.WINDOW_SCORE_BEST_TWO}, 30.0),
    ],
)
async def test_grpc_fields_control_windows(edges: Served, options: Any, logit: float) -> None:
    """The fields of RerankRequest."""
    response = await edges.client.rerank("0", [_LONG], overlap_tokens=0, **options)
    assert [result.logit for result in response.results] == [logit]


@pytest.mark.parametrize("field", ["too_long", "cut_side", "window_score", "query_too_long"])
async def test_unknown_enum_value_is_rejected(edges: Served, field: str) -> None:
    """A newer client may send a number that this server does not have."""
    with pytest.raises(grpc.aio.AioRpcError, match=f"{field} has no value 9: use {field.upper()}_UNSPECIFIED, "):
        await edges.client.rerank("0", ["1"], **{field: 9})  # type: ignore[arg-type]


async def test_document_over_the_token_limit_is_rejected(edges: Served) -> None:
    """TOO_LONG_REFUSE names the document."""
    with pytest.raises(grpc.aio.AioRpcError, match=r"documents\[1\] is too long: beside this query, at most 28 tokens"):
        await edges.client.rerank("0", ["1", _LONG], too_long=pb.TOO_LONG_REFUSE)
