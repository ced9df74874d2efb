"""IBM watsonx.ai's dialect."""

from typing import Any

import pytest

from rerank_service.api.auth import Keys
from support.http import post
from support.running import Running, Served, served

_PATH = "/ml/v1/text/rerank?version=2024-05-31"
_BODY: dict[str, Any] = {
    "model_id": "small",
    "query": "0",
    "inputs": [{"text": "1"}, "3", {"title": "2"}],
    "project_id": "any",
}


async def test_response_has_watsonx_form(edges: Served) -> None:
    """`return_options` selects the parts of the response."""
    options = {"return_options": {"top_n": 2, "inputs": True, "query": True}}
    content = (await post(edges, _BODY | {"parameters": options}, _PATH)).json()
    assert content.keys() == {"model_id", "created_at", "results", "input_token_count", "query"}
    assert [(result["index"], result["input"]["text"]) for result in content["results"]] == [
        (1, "3"),
        (2, '{"title":"2"}'),
    ]
    assert (content["model_id"], content["query"], content["input_token_count"]) == ("small", "0", 15)


async def test_scores_are_logits(edges: Served) -> None:
    """As in IBM's API."""
    response = await post(edges, _BODY, _PATH)
    assert [result["score"] for result in response.json()["results"]] == [3.0, 2.0, 1.0]
    assert response.headers["x-rerank-score-type"] == "raw"


@pytest.mark.parametrize("parameters", [None, {}, {"return_options": None}, {"truncate_input_tokens": 0}])
async def test_parameters_are_optional(edges: Served, parameters: Any) -> None:
    """Inputs and query are left out by default."""
    content = (await post(edges, _BODY | {"parameters": parameters}, _PATH)).json()
    assert [result.keys() for result in content["results"]] == [{"index", "score"}] * 3
    assert "query" not in content


async def test_truncate_input_tokens_cuts(edges: Served) -> None:
    """To this many tokens per document."""
    body = _BODY | {"inputs": [{"text": "1 9"}, {"text": "2"}], "parameters": {"truncate_input_tokens": 1}}
    assert [result["index"] for result in (await post(edges, body, _PATH)).json()["results"]] == [1, 0]


async def test_invalid_field_is_named(edges: Served) -> None:
    """As the client sent it."""
    for change, words in (
        ({"inputs": [7]}, "inputs[0] must be"),
        ({"parameters": {"return_options": 1}}, "parameters."),
    ):
        response = await post(edges, _BODY | change, _PATH)
        assert response.status_code == 400
        assert words in response.json()["errors"][0]["message"]


async def test_zen_api_key_is_a_key(core: Running) -> None:
    """The scheme of watsonx.ai on one's own servers."""
    async with served(core, keys=Keys(["sesame"])) as edges:
        assert (await post(edges, _BODY, _PATH, authorization="ZenApiKey sesame")).status_code == 200
