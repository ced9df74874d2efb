"""DashScope's dialect."""

from typing import Any

import pytest

from rerank_service.api.auth import Keys
from support.http import post, works
from support.running import Running, Served, served

PATH = "/api/v1/services/rerank/text-rerank/text-rerank"


INPUT = {"query": "0", "documents": ["1", "3", "2"]}


async def test_response_has_dashscopes_form(edges: Served) -> None:
    """Results are in `output`, with documents as objects. There is no `code` and no `message`."""
    parameters = {"top_n": 2, "return_documents": True}
    response = await post(edges, {"model": "small", "input": INPUT, "parameters": parameters}, PATH)
    content = response.json()
    assert content.keys() == {"output", "usage", "request_id"}
    assert content["request_id"] == response.headers["x-request-id"]
    assert content["usage"] == {"total_tokens": 15}
    assert [(result["index"], result["document"]) for result in content["output"]["results"]] == [
        (1, {"text": "3"}),
        (2, {"text": "2"}),
    ]


@pytest.mark.parametrize("parameters", [None, {}, {"top_n": None, "return_documents": None, "instruct": None}])
async def test_parameters_are_optional(edges: Served, parameters: Any) -> None:
    """All or some may be null."""
    content = (await post(edges, {"model": "small", "input": INPUT, "parameters": parameters}, PATH)).json()
    assert [result.keys() for result in content["output"]["results"]] == [{"index", "relevance_score"}] * 3


@pytest.mark.parametrize(
    ("body", "status", "code", "words"),
    [
        ({"model": "small"}, 400, "InvalidParameter", "input is required"),
        ({"input": {"query": "0"}}, 400, "InvalidParameter", "input.documents is required"),
        ({"input": {"query": "0", "documents": []}}, 400, "InvalidParameter", "input.documents must not be empty"),
        ({"input": {"query": "0", "documents": [1]}}, 400, "InvalidParameter", "input.documents[0] must be"),
        ({"input": INPUT, "parameters": {"top_n": -1}}, 400, "InvalidParameter", "parameters.top_n must be"),
        ({"input": INPUT, "parameters": {"instruct": "look"}}, 400, "InvalidParameter", "parameters.instruct is not"),
        ({"input": INPUT, "model": "other"}, 404, "ModelNotFound", "served: small"),
    ],
)
async def test_error_has_dashscopes_form(edges: Served, body: Any, status: int, code: str, words: str) -> None:
    """`code`, `message` and `request_id`."""
    response = await post(edges, body, PATH)
    content = response.json()
    assert (response.status_code, content["code"]) == (status, code)
    assert content.keys() == {"code", "message", "request_id"}
    assert words in content["message"]
    assert await works(edges)


async def test_missing_key_is_401(core: Running) -> None:
    """The code is DashScope's."""
    async with served(core, keys=Keys(["sesame"])) as edges:
        response = await post(edges, {"input": INPUT}, PATH)
        assert (response.status_code, response.json()["code"]) == (401, "InvalidApiKey")
