"""Weaviate's module reranker-transformers: its calls, built as ranker.go and startup.go build them.

Source: weaviate/weaviate, modules/reranker-transformers/clients. `RankInput` has no `omitempty`, so `property` is
always sent:

    type RankInput struct {
        Query             string   `json:"query"`
        Documents         []string `json:"documents"`
        RankPropertyValue string   `json:"property"`
    }
    type RankResponse struct {
        Scores            []DocumentScore `json:"scores"`
        Error             string          `json:"error"`
        ...
    }

`toRankResult` keeps the order of `scores`, and `additional/rank` assigns them to the results by position.
"""

from base64 import b64encode
from typing import Any

import pytest

from rerank_service.api.auth import Keys
from support.http import post
from support.running import Running, Served, served


def _rank_input(query: str, documents: list[str]) -> dict[str, Any]:
    """Return the body of `performRank`."""
    return {"query": query, "documents": documents, "property": ""}


async def test_scores_have_the_order_of_the_request(edges: Served) -> None:
    """Equal documents and an empty one, too: Weaviate sends "" for an object without the property."""
    documents = ["1", "3", "", "3"]
    content = (await post(edges, _rank_input("0", documents), "/rerank")).json()
    assert content.keys() == {"query", "scores"}
    assert (content["query"], [each["document"] for each in content["scores"]]) == ("0", documents)
    scores = [each["score"] for each in content["scores"]]
    assert scores[1] == scores[3] > scores[0] > scores[2]
    assert all(isinstance(score, float) for score in scores)


@pytest.mark.parametrize("change", [{"query": ""}, {"query": {"text": "0"}}, {"documents": ["1", 2]}, {"property": 1}])
async def test_error_is_a_text(edges: Served, change: dict[str, Any]) -> None:
    """`resBody.Error`: Weaviate shows it behind the status."""
    response = await post(edges, _rank_input("0", ["1"]) | change, "/rerank")
    assert response.status_code == 400
    (message,) = response.json().values()
    assert isinstance(message, str)
    assert next(iter(change)) in message


async def test_property_decides(edges: Served) -> None:
    """Without it, the body is unified."""
    assert (await post(edges, {"query": "0", "documents": ["1"]}, "/rerank")).json()["object"] == "rerank"
    assert "scores" not in (await post(edges, _rank_input("0", ["1"]), "/v1/rerank")).json()


async def test_readiness_is_204(edges: Served) -> None:
    """`checkReady` accepts any status below 300, and waits otherwise."""
    early = await edges.http.get("/.well-known/ready")
    assert (early.status_code, early.headers["retry-after"]) == (503, "1")
    edges.routes.ready = True
    for path in ("/.well-known/ready", "/.well-known/live"):
        response = await edges.http.get(path)
        assert (response.status_code, response.content) == (204, b"")
        assert (await edges.http.request("OPTIONS", path)).status_code == 204


async def test_meta_describes_the_model(edges: Served) -> None:
    """`MetaInfo` takes any object."""
    content = (await edges.http.get("/meta")).json()
    assert (content["id"], content["object"]) == ("small", "model")


async def test_key_in_the_url_is_accepted(core: Running) -> None:
    """Weaviate sends no key. Go's HTTP client sends the user of the URL: RERANKER_INFERENCE_API=http://any:KEY@host."""
    async with served(core, keys=Keys(["sesame"])) as edges:
        for credentials, status in (("any:sesame", 200), ("sesame:", 200), ("sesame", 401), ("sesame:wrong", 401)):
            header = f"Basic {b64encode(credentials.encode()).decode()}"
            assert (await post(edges, _rank_input("0", ["1"]), "/rerank", authorization=header)).status_code == status
        assert (await edges.http.get("/meta")).status_code == 401
        assert (await edges.http.get("/.well-known/live")).status_code == 204
