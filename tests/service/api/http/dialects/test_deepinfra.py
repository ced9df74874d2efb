"""DeepInfra's dialect."""

from typing import Any

import pytest

from support.http import post
from support.running import Served


@pytest.mark.parametrize("path", ["/v1/inference/small", "/inference/small", "/v1/inference/default"])
async def test_scores_have_the_order_of_the_request(edges: Served, path: str) -> None:
    """litellm reads the position as index, and repeats the query for each document."""
    response = await post(edges, {"queries": ["0"] * 3, "documents": ["1", "3", "2"], "webhook": None}, path)
    content = response.json()
    assert content.keys() == {"scores", "input_tokens", "request_id", "inference_status"}
    assert sorted(content["scores"]) == [content["scores"][index] for index in (0, 2, 1)]
    assert all(0 <= score <= 1 for score in content["scores"])
    assert content["input_tokens"] == content["inference_status"]["tokens_input"] == 15
    assert content["request_id"] == response.headers["x-request-id"]


async def test_one_query_is_that_of_all_documents(edges: Served) -> None:
    """As DeepInfra repeats it."""
    scores = []
    for count in (1, 2):
        response = await post(edges, {"queries": ["0"] * count, "documents": ["1", "3"]}, "/v1/inference/small")
        scores.append(response.json()["scores"])
    assert scores[0] == scores[1]


async def test_each_document_may_have_its_own_query(edges: Served) -> None:
    """The token count shows both queries."""
    body = {"queries": ["0 0 0", "0"], "documents": ["1", "3"]}
    assert (await post(edges, body, "/v1/inference/small")).json()["input_tokens"] == 12


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"queries": None}, "queries must be"),
        ({"queries": []}, "queries is required, and must not be empty"),
        ({"queries": ["0", ""]}, "queries must not contain an empty text"),
        ({"queries": ["0", "0", "0"]}, "queries has 3 texts and documents has 2"),
        ({"documents": [{"text": "1"}]}, "documents[0] must be"),
        ({"webhook": "http://host/answer"}, "webhook is not supported"),
    ],
)
async def test_invalid_field_is_named(edges: Served, change: dict[str, Any], words: str) -> None:
    """`detail` is a text: litellm shows it."""
    body = {"queries": ["0"], "documents": ["1", "3"]} | change
    response = await post(edges, body, "/v1/inference/small")
    assert response.status_code == 400
    assert words in response.json()["detail"]


async def test_path_of_fireworks_is_not_a_model(edges: Served) -> None:
    """`/inference/v1/rerank` has the form of `/inference/{model}`."""
    response = await post(edges, {"query": "0", "documents": ["1"]}, "/inference/v1/rerank")
    assert response.json()["results"][0]["index"] == 0
