"""Errors of the dialects of engines and clouds: each HTTP status in the form that the client parses."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from rerank_service.api.auth import Keys
from rerank_service.models.bundle import Bundle
from support.http import post
from support.running import MAX_MESSAGE_BYTES, Served, running, served
from support.small import BOOM

Build = Callable[[str, list[str], str], tuple[str, dict[str, Any]]]
"""Return path and body for a query, documents and a model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """The errors of a dialect."""

    build: Build
    read: Callable[[httpx.Response], tuple[str, str]]
    """Return the class and the message of an error, from where the client reads them."""
    kinds: dict[int, str]
    """Class of the error, by HTTP status."""
    timeout: int = 504
    """HTTP status of an exceeded deadline."""
    failed: int = 500
    """HTTP status of a model that failed."""
    query: str = "query"
    """The client's name of the query."""
    empty_query: str = "must not be empty"
    readable: bool = True
    """False if other dialects share the path: an error before the body is read then has the unified form."""


def _bedrock(query: str, texts: list[str], model: str) -> tuple[str, dict[str, Any]]:
    inline = [{"type": "TEXT", "textDocument": {"text": text}} for text in texts]
    options = {"modelConfiguration": {"modelArn": f"arn:aws:bedrock:us-east-1::foundation-model/{model}"}}
    return "/rerank", {
        "queries": [{"type": "TEXT", "textQuery": {"text": query}}],
        "sources": [{"type": "INLINE", "inlineDocumentSource": each} for each in inline],
        "rerankingConfiguration": {
            "type": "BEDROCK_RERANKING_MODEL",
            "bedrockRerankingConfiguration": options,
        },
    }


def _invoke(query: str, texts: list[str], model: str) -> tuple[str, dict[str, Any]]:
    return f"/model/{model}/invoke", {"query": query, "documents": texts, "api_version": 2}


def _deepinfra(query: str, texts: list[str], model: str) -> tuple[str, dict[str, Any]]:
    return f"/v1/inference/{model}", {"queries": [query] * len(texts), "documents": texts}


def _fireworks(query: str, texts: list[str], model: str) -> tuple[str, dict[str, Any]]:
    return "/inference/v1/rerank", {"model": f"fireworks/{model}", "query": query, "documents": texts}


def _hugging_face(query: str, texts: list[str], model: str) -> tuple[str, dict[str, Any]]:
    return "/hf/rerank", {"model": model, "query": query, "texts": texts, "return_text": True}


def _openrouter(query: str, texts: list[str], model: str) -> tuple[str, dict[str, Any]]:
    return "/api/v1/rerank", {"model": model, "query": query, "documents": texts}


def _pinecone(query: str, texts: list[str], model: str) -> tuple[str, dict[str, Any]]:
    documents = [{"text": text} for text in texts]
    body = {"model": model, "query": query, "documents": documents}
    return "/rerank", {**body, "rank_fields": ["text"], "return_documents": True}


def _watsonx(query: str, texts: list[str], model: str) -> tuple[str, dict[str, Any]]:
    inputs = [{"text": text} for text in texts]
    return "/ml/v1/text/rerank?version=2024-05-31", {"model_id": model, "query": query, "inputs": inputs}


def _weaviate(query: str, texts: list[str], model: str) -> tuple[str, dict[str, Any]]:
    return "/rerank", {"query": query, "documents": texts, "property": "", "model": model}


def _read_aws(response: httpx.Response) -> tuple[str, str]:
    assert response.json().keys() == {"message"}
    assert response.headers["x-amzn-requestid"] == response.headers["x-request-id"]
    return response.headers["x-amzn-errortype"], response.json()["message"]


def _read_openai(response: httpx.Response) -> tuple[str, str]:
    error = response.json()["error"]
    assert response.json()["detail"] == error["message"]
    return error["type"], error["message"]


def _read_openrouter(response: httpx.Response) -> tuple[str, str]:
    error = response.json()["error"]
    assert (type(error["code"]), error["code"]) == (int, response.status_code)
    assert error["metadata"]["reason"]
    return _read_openai(response)


def _read_text(response: httpx.Response) -> tuple[str, str]:
    assert response.json().keys() == {"error"}
    return "", response.json()["error"]


def _read_watsonx(response: httpx.Response) -> tuple[str, str]:
    content = response.json()
    assert content["status_code"] == response.status_code
    assert content["trace"] == response.headers["x-request-id"]
    (fault,) = content["errors"]
    return fault["code"], fault["message"]


_AWS = {
    400: "ValidationException",
    401: "AccessDeniedException",
    404: "ResourceNotFoundException",
    408: "ModelTimeoutException",
    413: "ValidationException",
    424: "DependencyFailedException",
    429: "ThrottlingException",
    503: "ServiceUnavailableException",
}
_INVOKE = {**_AWS, 424: "ModelErrorException"}
_OPENAI = {
    400: "invalid_request_error",
    401: "authentication_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "server_error",
    503: "overloaded_error",
    504: "timeout_error",
}
_OPENROUTER = {**_OPENAI, 408: "timeout_error", 424: "server_error"}
_WATSONX = {
    400: "invalid_request_entity",
    401: "authentication_token_not_valid",
    404: "model_not_supported",
    413: "request_entity_too_large",
    429: "consumption_limit_reached",
    500: "internal_error",
    503: "service_unavailable",
    504: "request_timeout",
}
_TEXT = dict.fromkeys(_OPENAI, "")
_FORMS = {
    "bedrock": Form(
        build=_bedrock,
        read=_read_aws,
        kinds=_AWS,
        timeout=408,
        failed=424,
        query="queries[0].textQuery.text",
        readable=False,
    ),
    "bedrock_runtime": Form(build=_invoke, read=_read_aws, kinds=_INVOKE, timeout=408, failed=424),
    "deepinfra": Form(
        build=_deepinfra,
        read=_read_openai,
        kinds=_OPENAI,
        query="queries",
        empty_query="must not contain an",
    ),
    "fireworks": Form(build=_fireworks, read=_read_openai, kinds=_OPENAI, readable=False),
    "hugging_face": Form(build=_hugging_face, read=_read_text, kinds=_TEXT),
    "openrouter": Form(build=_openrouter, read=_read_openrouter, kinds=_OPENROUTER, timeout=408, failed=424),
    "pinecone": Form(build=_pinecone, read=_read_openai, kinds=_OPENAI, readable=False),
    "watsonx": Form(build=_watsonx, read=_read_watsonx, kinds=_WATSONX),
    "weaviate": Form(build=_weaviate, read=_read_text, kinds=_TEXT, readable=False),
}


@pytest.mark.parametrize("form", _FORMS.values(), ids=_FORMS)
async def test_each_status_has_the_form_of_the_client(small_model: Bundle, form: Form) -> None:
    """No client gets 422: only TEI's clients expect it."""
    keys = Keys(["sesame"])

    async def expect(edges: Served, status: int, words: str, *sent: Any, key: str = "sesame", **headers: str) -> None:
        path, body = form.build(*sent)
        _check(await post(edges, body, path, **{"x-api-key": key}, **headers), status, words)

    def _check(response: httpx.Response, status: int, words: str) -> None:
        assert response.status_code == status, response.text
        kind, message = form.read(response)
        assert kind == form.kinds[status]
        assert words in message
        assert (status in (429, 503)) == ("retry-after" in response.headers)
        assert (status in (form.failed, form.timeout)) == (response.headers.get("x-should-retry") == "false")

    async with running(small_model, max_live_documents=2) as core, served(core, keys=keys) as edges:
        await expect(edges, 400, f"{form.query} {form.empty_query}", "", ["1"], "small")
        await expect(edges, 401, "invalid API key", "0", ["1"], "small", key="wrong")
        await expect(edges, 404, "served: small", "0", ["1"], "other")
        await expect(edges, form.failed, "", "0", [BOOM], "small")
        timeout = {"x-request-timeout": "0.000001"}
        await expect(edges, form.timeout, "", "0", ["1"], "small", **timeout)
        core.score.hold()
        path, body = form.build("0", ["1", "2"], "small")
        first = asyncio.create_task(post(edges, body, path, **{"x-api-key": "sesame"}))
        await core.score.started()
        await expect(edges, 429, "accepts at most", "0", ["1"], "small")
        core.score.release()
        assert (await first).status_code == 200
        core.admission.close()
        await expect(edges, 503, "draining", "0", ["1"], "small")


@pytest.mark.parametrize("form", _FORMS.values(), ids=_FORMS)
async def test_query_that_is_too_long_is_named(edges: Served, form: Form) -> None:
    """The error has the client's name of the query."""
    limit = edges.core.reranker.limits.max_query_chars
    path, body = form.build("0" * (limit + 1), ["1"], "small")
    _, message = form.read(await post(edges, body, path))
    assert message.startswith(f"{form.query} has {limit + 1:,} characters")


@pytest.mark.parametrize("form", _FORMS.values(), ids=_FORMS)
async def test_body_that_is_too_large_is_413(edges: Served, form: Form) -> None:
    """Where other dialects share the path, the form is unified: the keys of the body were not read."""
    path, body = form.build("0", ["1" * MAX_MESSAGE_BYTES], "small")
    response = await post(edges, body, path)
    assert response.status_code == 413
    kind, message = form.read(response) if form.readable else _read_openai(response)
    assert kind == (form.kinds if form.readable else _OPENAI)[413]
    assert "limit of the server" in message
