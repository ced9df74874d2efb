"""Amazon Bedrock's InvokeModel."""

from urllib.parse import quote

import pytest

from rerank_service.api.http.dialects.bedrock import Bedrock
from rerank_service.api.http.dialects.bedrock_runtime import BedrockRuntime
from rerank_service.api.http.dialects.contract import Dialect, Exchange
from rerank_service.errors import RequestError
from support.http import post
from support.running import Served

_BODY = {"query": "0", "documents": ["1", "3", "2"], "top_n": 2, "api_version": 2}


@pytest.mark.parametrize("model", ["small", "default", "arn:aws:bedrock:us-east-1::foundation-model/small"])
async def test_path_names_the_model(edges: Served, model: str) -> None:
    """AWS SDKs encode the colons and slashes of an ARN."""
    response = await post(edges, _BODY, f"/model/{quote(model, safe='')}/invoke")
    assert response.status_code == 200, response.text
    content = response.json()
    assert [result["index"] for result in content["results"]] == [1, 2]
    assert (content["model"], response.headers["x-amzn-requestid"]) == ("small", response.headers["x-request-id"])


async def test_model_of_the_path_has_precedence(edges: Served) -> None:
    """Over that of the body, which Bedrock does not have."""
    assert (await post(edges, {**_BODY, "model": "other"}, "/model/small/invoke")).status_code == 200
    wrong = await post(edges, {**_BODY, "model": "small"}, "/model/other/invoke")
    assert (wrong.status_code, wrong.headers["x-amzn-errortype"]) == (404, "ResourceNotFoundException")


async def test_unreadable_body_has_bedrocks_form(edges: Served) -> None:
    """No other dialect has the path."""
    response = await post(edges, b"{", "/model/small/invoke")
    assert (response.status_code, response.headers["x-amzn-errortype"]) == (400, "ValidationException")


@pytest.mark.parametrize("dialect", [Bedrock(), BedrockRuntime()])
def test_fault_of_the_server_stays_500(dialect: Dialect) -> None:
    """Another replica may succeed. Only a failed model is 424, because each try fails."""
    response = dialect.encode_error(RequestError("internal error"), Exchange("id", dialect.paths[0]))
    assert (response.status, response.headers["x-amzn-errortype"]) == (500, "InternalServerException")
