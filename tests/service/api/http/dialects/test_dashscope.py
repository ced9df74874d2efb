"""DashScope's bodies."""

from typing import Any

import pytest

from rerank_service.api.auth import Keys
from support.http import post, works
from support.running import Running, Served, served

PATH = "/api/v1/services/rerank/text-rerank/text-rerank"
INPUT = {"query": "0", "documents": ["1", "3", "2"]}


async def test_the_answer_is_dashscopes(edges: Served) -> None:
    """Results in `output`, documents as objects where they are asked for, no `code` and no `message`."""
    parameters = {"top_n": 2, "return_documents": True}
    response = await post(edges, {"model": "small", "input": INPUT, "parameters": parameters}, PATH)
    answer = response.json()
    assert answer.keys() == {"output", "usage", "request_id"}
    assert answer["request_id"] == response.headers["x-request-id"]
    assert answer["usage"] == {"total_tokens": 15}
    assert [(one["index"], one["document"]) for one in answer["output"]["results"]] == [
        (1, {"text": "3"}),
        (2, {"text": "2"}),
    ]


@pytest.mark.parametrize("parameters", [None, {}, {"top_n": None, "return_documents": None, "instruct": None}])
async def test_parameters_may_be_left_out(edges: Served, parameters: Any) -> None:
    """Or be null, all or some."""
    answer = (await post(edges, {"model": "small", "input": INPUT, "parameters": parameters}, PATH)).json()
    assert [one.keys() for one in answer["output"]["results"]] == [{"index", "relevance_score"}] * 3


@pytest.mark.parametrize(
    ("body", "status", "code", "words"),
    [
        ({"model": "small"}, 400, "InvalidParameter", "input is required"),
        ({"input": {"query": "0"}}, 400, "InvalidParameter", "input.documents is required"),
        ({"input": {"query": "0", "documents": []}}, 400, "InvalidParameter", "input.documents must not be empty"),
        ({"input": {"query": "0", "documents": [1]}}, 400, "InvalidParameter", "input.documents[0] must be"),
        ({"input": INPUT, "parameters": {"top_n": 0}}, 400, "InvalidParameter", "parameters.top_n must be"),
        ({"input": INPUT, "parameters": {"instruct": "look"}}, 400, "InvalidParameter", "instruction"),
        ({"input": INPUT, "model": "other"}, 404, "ModelNotFound", "served: small"),
    ],
)
async def test_errors_are_dashscopes(edges: Served, body: Any, status: int, code: str, words: str) -> None:
    """`code`, `message`, `request_id`."""
    response = await post(edges, body, PATH)
    answer = response.json()
    assert (response.status_code, answer["code"]) == (status, code)
    assert answer.keys() == {"code", "message", "request_id"}
    assert words in answer["message"]
    assert await works(edges)


async def test_without_a_key_it_is_401(core: Running) -> None:
    """In its words."""
    async with served(core, keys=Keys(["sesame"])) as edges:
        response = await post(edges, {"input": INPUT}, PATH)
        assert (response.status_code, response.json()["code"]) == (401, "InvalidApiKey")
