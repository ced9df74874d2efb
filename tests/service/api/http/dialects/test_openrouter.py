"""OpenRouter's dialect."""

from typing import Any

import pytest

from rerank_service.api.auth import Keys
from rerank_service.api.http.dialects.contract import Exchange
from rerank_service.api.http.dialects.openrouter import OpenRouter
from rerank_service.errors import (
    DeadlineExceeded,
    DeadlinePassed,
    InferenceFailed,
    NotReady,
    OutOfMemory,
    Overloaded,
    RequestError,
)
from support.http import post
from support.running import MAX_MESSAGE_BYTES, Running, Served, served

_PATH = "/api/v1/rerank"
_BODY = {"query": "0", "documents": ["1", {"text": "3", "year": 1999}]}


@pytest.mark.parametrize("extra", [{}, {"return_documents": None}, {"return_documents": True}])
async def test_results_contain_their_documents_by_default(edges: Served, extra: dict[str, Any]) -> None:
    """OpenRouter has no field `return_documents`. @openrouter/sdk requires a document in each result."""
    content = (await post(edges, _BODY | extra, _PATH)).json()
    documents = [result["document"] for result in content["results"]]
    assert documents == [{"text": "3", "year": 1999}, {"text": "1"}]
    assert content["object"] == "rerank"


@pytest.mark.parametrize("declined", [False, "false"])
async def test_documents_are_left_out_on_request(edges: Served, declined: Any) -> None:
    """`document` is absent, not null."""
    content = (await post(edges, _BODY | {"return_documents": declined}, _PATH)).json()
    assert [result.keys() for result in content["results"]] == [{"index", "relevance_score"}] * 2


async def test_usage_has_search_units(edges: Served) -> None:
    """@openrouter/sdk reads them there."""
    content = (await post(edges, {"query": "0", "documents": ["1"] * 101}, _PATH)).json()
    assert content["usage"]["search_units"] == content["meta"]["billed_units"]["search_units"] == 2
    assert content["usage"]["total_tokens"] == content["usage"]["prompt_tokens"]


async def test_code_of_an_error_is_its_status(edges: Served) -> None:
    """OpenRouter's SDKs require an integer: with any other code, their error has another class."""
    response = await post(edges, _BODY | {"query": ""}, _PATH)
    error = response.json()["error"]
    assert (type(error["code"]), error["code"], response.status_code) == (int, 400, 400)
    assert (error["metadata"], error["param"]) == ({"reason": "empty_query"}, "query")


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"1" * (MAX_MESSAGE_BYTES + 1), {}, 413),
        (b"1" * 70_000, {"x-api-key": "wrong"}, 401),
        (b"{", {}, 400),
        (b"{}", {}, 400),
        (b"{}", {"content-encoding": "private"}, 415),
    ],
    ids=["too large", "large without a key", "no JSON", "no documents", "coding"],
)
async def test_error_before_the_body_is_read_has_the_code_too(
    core: Running, body: bytes, headers: dict[str, str], status: int
) -> None:
    """Until the keys of the body are known, the dialect is that of `documents` on this path."""
    async with served(core, keys=Keys(["sesame"])) as edges:
        response = await post(edges, body, _PATH, **{"x-api-key": "sesame", **headers})
    assert (response.status_code, response.json()["error"]["code"]) == (status, status)


async def test_other_dialects_of_the_path_stay(edges: Served) -> None:
    """TEI's body has a list as response, by default without texts."""
    content = (await post(edges, {"query": "0", "texts": ["1", "3"]}, _PATH)).json()
    assert [rank.keys() for rank in content] == [{"index", "score"}] * 2


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (DeadlineExceeded("too late"), 408),
        (DeadlinePassed("too late"), 408),
        (InferenceFailed("no score"), 424),
        (OutOfMemory("no memory"), 424),
        (RequestError("internal error"), 500),
        (Overloaded("busy", retry_after=1), 429),
        (NotReady("draining"), 503),
    ],
)
def test_errors_that_a_second_try_repeats_are_not_5xx(error: RequestError, status: int) -> None:
    """OpenRouter's SDKs send a request again after each 5xx, for an hour."""
    assert OpenRouter().encode_error(error, Exchange("id", _PATH, _BODY)).status == status
