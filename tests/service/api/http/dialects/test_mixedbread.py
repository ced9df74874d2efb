"""mixedbread's bodies."""

from typing import Any

import pytest

from support.http import post, works
from support.running import Served

BODY = {"query": "0", "input": ["1", "3", "2"]}


@pytest.mark.parametrize("path", ["/v1/reranking", "/reranking"])
async def test_the_answer_is_mixedbreads(edges: Served, path: str) -> None:
    """`data` with `score`, the input only where it is asked for."""
    answer = (await post(edges, {**BODY, "top_k": 2}, path)).json()
    assert answer.pop("usage") == {"prompt_tokens": 15, "completion_tokens": 0, "total_tokens": 15}
    assert [(one["index"], one["input"], one["object"]) for one in answer.pop("data")] == [
        (1, None, "rank_result"),
        (2, None, "rank_result"),
    ]
    assert answer == {"model": "small", "object": "list", "top_k": 2, "return_input": False}


async def test_inputs_are_objects_too_and_come_back_as_they_were(edges: Served) -> None:
    """With rank_fields, and all of them where top_k is not given."""
    objects = [{"title": "1", "text": "9"}, {"title": "2", "text": "1"}]
    body = {"query": "0", "input": [*objects, "3"], "rank_fields": ["title"], "return_input": True}
    answer = (await post(edges, body, "/v1/reranking")).json()
    assert [one["input"] for one in answer["data"]] == ["3", objects[1], objects[0]]
    assert (answer["top_k"], answer["return_input"]) == (3, True)


@pytest.mark.parametrize(
    ("extra", "param", "words"),
    [
        ({"rewrite_query": True}, "rewrite_query", "is not supported"),
        ({"top_k": 0}, "top_k", "greater than or equal to 1"),
        ({"input": []}, "input", "input must not be empty"),
        ({"input": ["1", 2]}, "input[1]", "must be a string or an object"),
        ({"query": ""}, "query", "must not be empty"),
        ({"instruction": "look"}, "instruction", "instruction"),
    ],
)
async def test_what_is_wrong_is_named(edges: Served, extra: dict[str, Any], param: str, words: str) -> None:
    """By mixedbread's own names."""
    response = await post(edges, BODY | extra, "/v1/reranking")
    assert response.status_code == 400
    assert words in response.json()["message"]
    if "top_k" not in extra:
        assert response.json()["error"]["param"] == param
    assert await works(edges)


@pytest.mark.parametrize("extra", [{"rewrite_query": False}, {"rewrite_query": None, "top_k": None, "unknown": 1}])
async def test_what_asks_for_nothing_is_taken(edges: Served, extra: dict[str, Any]) -> None:
    """The SDK sends defaults."""
    assert (await post(edges, BODY | extra, "/v1/reranking")).status_code == 200


async def test_an_unknown_model_is_404(edges: Served) -> None:
    """And names those served."""
    response = await post(edges, {**BODY, "model": "other"}, "/v1/reranking")
    assert (response.status_code, "served: small" in response.text) == (404, True)
