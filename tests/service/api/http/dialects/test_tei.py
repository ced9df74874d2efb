"""TEI's dialect: responses, headers, errors, info and health."""

import asyncio
from typing import Any

import pytest

from rerank_service.api.auth import Keys
from rerank_service.engine.host import usable_cores
from rerank_service.models.bundle import Bundle
from support.http import post, works
from support.running import MAX_MESSAGE_BYTES, Running, Served, running, served
from support.small import BOOM, NAN

BODY = {"query": "0", "texts": ["1", "3", "2"]}


@pytest.mark.parametrize("path", ["/rerank", "/v1/rerank", "/v2/rerank", "/", "/invocations", "/reranking"])
async def test_response_is_a_list_of_all_texts(edges: Served, path: str) -> None:
    """Sorted by score, then by index. The texts are absent."""
    response = await post(edges, {"query": "0", "texts": ["1", "3", "1"]}, path)
    content = response.json()
    assert [rank["index"] for rank in content] == [1, 0, 2]
    assert all(rank.keys() == {"index", "score"} for rank in content)
    assert content[0]["score"] == pytest.approx(0.9525741268224334)


async def test_return_text_and_raw_scores(edges: Served) -> None:
    """Results have texts and logits."""
    content = (await post(edges, {**BODY, "return_text": True, "raw_scores": True}, "/rerank")).json()
    assert content == [
        {"index": 1, "score": 3.0, "text": "3"},
        {"index": 2, "score": 2.0, "text": "2"},
        {"index": 0, "score": 1.0, "text": "1"},
    ]


async def test_documents_select_the_unified_dialect(edges: Served) -> None:
    """A body with `documents` and `texts` is not of TEI."""
    assert "results" in (await post(edges, {**BODY, "documents": ["1"]}, "/rerank")).json()


@pytest.mark.parametrize(
    "extra",
    [
        {"truncate": None, "raw_scores": None, "return_text": None, "truncation_direction": None, "model": None},
        {"truncate": True, "truncation_direction": "Left"},
        {"truncate": True, "truncation_direction": "right"},
        {"truncate": False},
        {"model": "small", "top_n": 1},
    ],
)
async def test_fields_that_clients_send_are_accepted(edges: Served, extra: dict[str, Any]) -> None:
    """Nulls too. TEI has no `top_n`, which the client rerankers sends: all texts are returned."""
    response = await post(edges, {**BODY, **extra}, "/rerank")
    assert response.status_code == 200, response.text
    assert len(response.json()) == 3


async def test_long_text_is_cut_by_default(edges: Served) -> None:
    """`truncate: false`, which litellm sends, is 422."""
    body = {"query": "0", "texts": ["1", "5 " + "1 " * 40 + "7"], "raw_scores": True}
    for extra, score in (
        ({}, 5 + 27),
        ({"truncate": True, "truncation_direction": "Right"}, 5 + 27),
        ({"truncation_direction": "Left"}, 27 + 7),
    ):
        content = (await post(edges, body | extra, "/rerank")).json()
        assert content[0] == {"index": 1, "score": score}
    response = await post(edges, {**body, "truncate": False}, "/rerank")
    assert (response.status_code, response.json()["error_type"]) == (422, "Validation")
    assert response.json()["error"].startswith("texts[1] is too long")


async def test_headers_have_size_and_duration(edges: Served) -> None:
    """Characters and tokens of all pairs, and milliseconds. The request id is returned."""
    response = await post(edges, {"query": "0 0", "texts": ["1", "2 2"]}, "/rerank", **{"x-request-id": "mine"})
    assert response.headers["x-request-id"] == "mine"
    assert response.headers["x-compute-characters"] == "10"
    assert response.headers["x-compute-tokens"] == "13"
    for name in ("compute", "total", "tokenization", "queue", "inference"):
        assert response.headers[f"x-{name}-time"].isdigit()


@pytest.mark.parametrize(
    ("body", "status", "error_type", "words"),
    [
        ({"query": "0", "texts": []}, 400, "Empty", "texts must not be empty"),
        ({"query": "", "texts": ["1"]}, 400, "Empty", "query must not be empty"),
        ({"texts": ["1"]}, 422, "Validation", "query is required"),
        ({"query": {"text": "0"}, "texts": ["1"]}, 422, "Validation", "query must be a valid string"),
        ({"query": "0", "texts": "1"}, 422, "Validation", "texts must be a valid list"),
        ({"query": "0", "texts": ["1", {"text": "2"}]}, 422, "Validation", "texts[1] must be a valid string"),
        ({"query": "0", "texts": ["1"], "truncation_direction": "up"}, 422, "Validation", "truncation_direction must"),
        ({"query": "0", "texts": ["1"], "raw_scores": "maybe"}, 422, "Validation", "raw_scores must be"),
        ({"query": "0 " * 40, "texts": ["1"], "truncate": False}, 422, "Validation", "leaves too little room"),
        ({"query": "0", "texts": ["1"], "model": "other"}, 404, "Validation", "served: small"),
        ({"query": "0", "texts": ["1", NAN]}, 424, "Backend", "texts[1]"),
        ({"query": "0", "texts": ["1", BOOM]}, 424, "Backend", "texts[1]"),
        ({"query": "0", "texts": ["1" * MAX_MESSAGE_BYTES]}, 413, "Validation", "The body has more than"),
    ],
)
async def test_error_has_teis_form(edges: Served, body: Any, status: int, error_type: str, words: str) -> None:
    """TEI's statuses, types, and name of the documents."""
    response = await post(edges, body, "/rerank")
    if status == 413:  # the keys were not read
        assert (response.status_code, words in response.text) == (413, True)
        return
    content = response.json()
    assert (response.status_code, content["error_type"]) == (status, error_type)
    assert content.keys() == {"error", "error_type"}
    assert words in content["error"]
    assert await works(edges)


async def test_missing_key_is_401(core: Running) -> None:
    """TEI's clients send the key with or without `Bearer`."""
    async with served(core, keys=Keys(["sesame"])) as edges:
        response = await post(edges, BODY, "/rerank")
        assert (response.status_code, response.json()["error_type"]) == (401, "Validation")
        assert (await post(edges, BODY, "/rerank", authorization="sesame")).status_code == 200
        assert (await edges.http.get("/info")).status_code == 401
        assert (await edges.http.get("/health")).status_code == 503


async def test_overload_and_drain_have_retry_after(small_model: Bundle) -> None:
    """429 and 503."""
    async with running(small_model, max_live_documents=1) as core, served(core) as edges:
        core.score.hold()
        first = asyncio.create_task(post(edges, {"query": "0", "texts": ["1"]}, "/rerank"))
        await core.score.started()
        full = await post(edges, BODY, "/rerank")
        assert (full.status_code, full.json()["error_type"], full.headers["retry-after"]) == (429, "Overloaded", "1")
        core.score.release()
        assert (await first).status_code == 200
        core.admission.close()
        closed = await post(edges, BODY, "/rerank")
        assert (closed.status_code, closed.json()["error_type"], closed.headers["retry-after"]) == (
            503,
            "Unhealthy",
            "1",
        )


async def test_info_describes_a_reranker(edges: Served) -> None:
    """Dify reads the first key of `model_type`."""
    content = (await edges.http.get("/info")).json()
    assert next(iter(content["model_type"])) == "reranker"
    assert (content["model_id"], content["max_input_length"], content["model_dtype"]) == ("small", 32, "float32")
    assert (content["max_batch_tokens"], content["tokenization_workers"]) == (512, usable_cores())
    assert content["max_client_batch_size"] == edges.core.reranker.limits.max_documents


@pytest.mark.parametrize("path", ["/health", "/ping"])
async def test_health_is_readiness(edges: Served, path: str) -> None:
    """503 in TEI's form, then 200."""
    response = await edges.http.get(path)
    assert (response.status_code, response.json()) == (503, {"error": "unhealthy", "error_type": "Unhealthy"})
    assert response.headers["retry-after"] == "1"
    edges.routes.ready = True
    assert (await edges.http.get(path)).status_code == 200
