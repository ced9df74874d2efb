"""NVIDIA's bodies."""

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
async def test_the_answer_is_nvidias(edges: Served, path: str) -> None:
    """Logits, sorted, wherever a base URL leads."""
    answer = (await post(edges, BODY, path)).json()
    assert answer["rankings"] == [{"index": 1, "logit": 3.0}, {"index": 2, "logit": 2.0}, {"index": 0, "logit": 1.0}]
    assert answer["usage"]["total_tokens"] == 15


async def test_strings_and_a_top_n_are_taken(edges: Served) -> None:
    """RAGFlow sends the one, some applications the other."""
    body = {"query": "0", "passages": ["1", "2"], "top_n": 1, "truncate": "END"}
    assert (await post(edges, body, "/v1/ranking")).json()["rankings"] == [{"index": 1, "logit": 2.0}]


async def test_a_passage_too_long_is_cut_or_refused_as_truncate_says(edges: Served) -> None:
    """END and NONE."""
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
        ({"passages": [{"image": "data:image/png;base64,AA=="}]}, 400, "passages[0] is a picture"),
        ({"passages": [{"text": "1", "image": "data:image/png;base64,AA=="}]}, 400, "passages[0] is a picture"),
        ({"query": {}}, 400, "query must be a valid string"),
        ({"truncate": "START"}, 400, "truncate must be"),
        ({"model": "other"}, 404, "served: small"),
    ],
)
async def test_errors_say_what_langchain_shows(edges: Served, extra: dict[str, Any], status: int, words: str) -> None:
    """`status`, `title` and `detail` beside the others."""
    response = await post(edges, BODY | extra, "/v1/ranking")
    answer = response.json()
    assert response.status_code == answer["status"] == status
    assert words in answer["detail"]
    assert answer["title"] == {400: "Bad Request", 404: "Not Found"}[status]
    assert await works(edges)


async def test_without_readable_keys_the_path_tells(edges: Served) -> None:
    """A body that is no JSON gets NVIDIA's error where nobody else is spoken."""
    assert "title" in (await post(edges, b"{", "/v1/ranking")).json()
