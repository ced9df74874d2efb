"""NVIDIA's dialect."""

from typing import Any

import pytest

from support.http import post, works
from support.running import Served

BODY = {"model": "small", "query": {"text": "0"}, "passages": [{"text": "1"}, {"text": "3"}, {"text": "2"}]}


LONG = {"text": "1 " * 40}


@pytest.mark.parametrize(
    "path",
    [
        "/v1/ranking",
        "/v1/retrieval/nvidia/reranking",
        "/reranking",
        "/v1/reranking",
        "/nv-rerankqa-mistral-4b-v3/reranking",
        "/v1/nv-rerankqa-mistral-4b-v3/reranking",
        "/v1/retrieval/nvidia/llama-3_2-nv-rerankqa-1b-v2/reranking",
    ],
)
async def test_response_has_nvidias_form(edges: Served, path: str) -> None:
    """Logits in descending order, on every path."""
    content = (await post(edges, BODY, path)).json()
    assert content["rankings"] == [{"index": 1, "logit": 3.0}, {"index": 2, "logit": 2.0}, {"index": 0, "logit": 1.0}]
    assert content["usage"]["total_tokens"] == 15


async def test_passages_may_be_strings(edges: Served) -> None:
    """RAGFlow sends strings. Some applications send `top_n`."""
    body = {"query": "0", "passages": ["1", "2"], "top_n": 1, "truncate": "END"}
    assert (await post(edges, body, "/v1/ranking")).json()["rankings"] == [{"index": 1, "logit": 2.0}]


async def test_truncate_selects_cut_or_error(edges: Served) -> None:
    """END cuts a long passage, NONE makes it an error."""
    body = {**BODY, "passages": [{"text": "1"}, LONG]}
    cut = (await post(edges, {**body, "truncate": "END"}, "/v1/ranking")).json()
    assert cut["rankings"][0] == {"index": 1, "logit": 28.0}
    refused = await post(edges, {**body, "truncate": "NONE"}, "/v1/ranking")
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "passages[1]")


@pytest.mark.parametrize(
    ("extra", "status", "words"),
    [
        ({"passages": []}, 400, "passages must not be empty"),
        ({"passages": [{}]}, 400, "passages[0] must be a string"),
        ({"passages": [{"text": 5}]}, 400, "passages[0] must be a string"),
        ({"passages": [{"image": "data:image/png;base64,AA=="}]}, 400, "passages[0] is an image"),
        ({"passages": [{"text": "1", "image": "data:image/png;base64,AA=="}]}, 400, "passages[0] is an image"),
        ({"query": {}}, 400, "query must be a valid string"),
        ({"truncate": "START"}, 400, "truncate must be"),
        ({"model": "other"}, 404, "served: small"),
    ],
)
async def test_error_has_the_fields_that_langchain_shows(
    edges: Served, extra: dict[str, Any], status: int, words: str
) -> None:
    """`status`, `title` and `detail`, beside the fields of other dialects."""
    response = await post(edges, BODY | extra, "/v1/ranking")
    content = response.json()
    assert response.status_code == content["status"] == status
    assert words in content["detail"]
    assert content["title"] == {400: "Bad Request", 404: "Not Found"}[status]
    assert await works(edges)


async def test_unreadable_body_has_the_form_of_its_path(edges: Served) -> None:
    """The path has no other dialect."""
    assert "title" in (await post(edges, b"{", "/v1/ranking")).json()
