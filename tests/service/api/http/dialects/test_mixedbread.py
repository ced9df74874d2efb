"""mixedbread's dialect."""

from typing import Any

import pytest

from support.http import post, works
from support.running import Served

BODY = {"query": "0", "input": ["1", "3", "2"]}


@pytest.mark.parametrize("path", ["/v1/reranking", "/reranking"])
async def test_response_has_mixedbreads_form(edges: Served, path: str) -> None:
    """`data` with `score`. The input is null unless requested."""
    content = (await post(edges, {**BODY, "top_k": 2}, path)).json()
    assert content.pop("usage") == {"prompt_tokens": 15, "completion_tokens": 0, "total_tokens": 15}
    assert [(entry["index"], entry["input"], entry["object"]) for entry in content.pop("data")] == [
        (1, None, "rank_result"),
        (2, None, "rank_result"),
    ]
    assert content == {"model": "small", "object": "list", "top_k": 2, "return_input": False}
    content = (await post(edges, {**BODY, "top_k": 2.0}, path)).json()
    assert (content["top_k"], type(content["top_k"])) == (2, int)


async def test_inputs_may_be_objects(edges: Served) -> None:
    """They are returned as sent. Without `top_k`, all are returned."""
    objects = [{"title": "1", "text": "9"}, {"title": "2", "text": "1"}]
    body = {"query": "0", "input": [*objects, "3"], "rank_fields": ["title"], "return_input": True}
    content = (await post(edges, body, "/v1/reranking")).json()
    assert [entry["input"] for entry in content["data"]] == ["3", objects[1], objects[0]]
    assert (content["top_k"], content["return_input"]) == (3, True)


@pytest.mark.parametrize(
    ("extra", "param", "words"),
    [
        ({"rewrite_query": True}, "rewrite_query", "is not supported"),
        ({"top_k": -1}, "top_k", "greater than or equal to 0"),
        ({"input": []}, "input", "input must not be empty"),
        ({"input": ["1", 2]}, "input[1]", "must be a string or an object"),
        ({"query": ""}, "query", "must not be empty"),
        ({"instruction": "look"}, "instruction", "instruction"),
    ],
)
async def test_invalid_field_is_named(edges: Served, extra: dict[str, Any], param: str, words: str) -> None:
    """The error has mixedbread's name of the field."""
    response = await post(edges, BODY | extra, "/v1/reranking")
    assert response.status_code == 400
    assert words in response.json()["message"]
    if "top_k" not in extra:
        assert response.json()["error"]["param"] == param
    assert await works(edges)


@pytest.mark.parametrize("extra", [{"rewrite_query": False}, {"rewrite_query": None, "top_k": None, "unknown": 1}])
async def test_fields_without_effect_are_accepted(edges: Served, extra: dict[str, Any]) -> None:
    """The SDK sends default values."""
    assert (await post(edges, BODY | extra, "/v1/reranking")).status_code == 200


async def test_unknown_model_is_404(edges: Served) -> None:
    """The message lists the served models."""
    response = await post(edges, {**BODY, "model": "other"}, "/v1/reranking")
    assert (response.status_code, "served: small" in response.text) == (404, True)
