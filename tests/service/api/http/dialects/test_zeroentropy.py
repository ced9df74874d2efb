"""ZeroEntropy's path and the fields of its response."""

import pytest

from support.http import post
from support.running import Served


@pytest.mark.parametrize("path", ["/v1/models/rerank", "/models/rerank"])
async def test_response_has_the_fields_of_the_sdk(edges: Served, path: str) -> None:
    """The base URL may end in /v1 or not. `total_bytes` is that of ZeroEntropy's reference."""
    body = {"model": "default", "query": "é", "documents": ["1", "22"], "top_n": 1, "latency": "fast"}
    response = await post(edges, body, path)
    content = response.json()
    assert response.status_code == 200
    assert [result["index"] for result in content["results"]] == [1]
    assert content["total_bytes"] == 150 + 2 + 1 + 150 + 2 + 2
    assert content["total_tokens"] == content["usage"]["total_tokens"]
    assert content["e2e_latency"] >= content["inference_latency"] > 0
    assert content["actual_latency_mode"] == "fast"


async def test_bytes_of_one_document_without_a_list(edges: Served) -> None:
    """They are those of the list of it."""
    response = await post(edges, {"query": "0", "documents": "22"}, "/v1/models/rerank")
    assert response.json()["total_bytes"] == 150 + 1 + 2


async def test_latency_is_repeated(edges: Served) -> None:
    """It changes no score."""
    body = {"query": {"text": "0"}, "documents": ["1", {"text": "2"}], "latency": "slow"}
    assert (await post(edges, body, "/v1/models/rerank")).json()["actual_latency_mode"] == "slow"


async def test_path_of_a_model_stays_a_look_up(edges: Served) -> None:
    """GET of the same path describes a model of this name."""
    assert (await edges.http.get("/v1/models/rerank")).status_code == 404
    assert (await edges.http.get("/v1/models/small")).status_code == 200


async def test_error_has_the_unified_form(edges: Served) -> None:
    """The SDK reads the status and shows the body."""
    response = await post(edges, {"query": "", "documents": ["1"]}, "/v1/models/rerank")
    assert (response.status_code, response.json()["error"]["code"]) == (400, "empty_query")
