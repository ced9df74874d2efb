"""Dialects: request bodies, and which responses are valid rankings."""

from typing import Any

import pytest

from rerank_service.tools.loadtest.dialects import Dialect, Route, body, read, routes
from rerank_service.tools.loadtest.target import CallFailed, Usage
from rerank_service.tools.loadtest.workload import Request

REQUEST = Request("q", ("a", "b"))


def test_request_body_of_each_dialect() -> None:
    """The model is left out if it is not known. TEI is asked to truncate long texts."""
    assert body(Dialect.COHERE, REQUEST, "m") == {"model": "m", "query": "q", "documents": ("a", "b"), "top_n": 2}
    assert "model" not in body(Dialect.COHERE, REQUEST, "")
    assert body(Dialect.TEI, REQUEST, "m") == {"model": "m", "query": "q", "texts": ("a", "b"), "truncate": True}


def test_responses_of_both_dialects_are_read() -> None:
    """Token counts are read if the server reports them."""
    results = [{"index": 1, "relevance_score": 0.9}, {"index": 0, "relevance_score": 0.1}]
    assert read(Dialect.COHERE, REQUEST, {"results": results}) == Usage()
    assert read(Dialect.COHERE, REQUEST, {"results": results, "usage": {"prompt_tokens": 9}}) == Usage(tokens=9)
    assert read(Dialect.TEI, REQUEST, [{"index": 1, "score": 0.9}, {"index": 0, "score": 0.1}]) == Usage()


@pytest.mark.parametrize(
    "response",
    [
        None,
        [],
        "text",
        {},
        {"results": None},
        {"results": [{"index": 0, "relevance_score": 0.1}]},
        {"results": [{"index": 0, "relevance_score": 0.1}, {"index": 0, "relevance_score": 0.1}]},
        {"results": [{"index": 0, "relevance_score": 0.1}, {"index": 1, "relevance_score": float("nan")}]},
        {"results": [{"index": 0, "relevance_score": 0.1}, {"index": 1, "relevance_score": None}]},
        {"results": [{"index": 0}, {"index": 1}]},
    ],
)
def test_incomplete_ranking_is_a_failed_call(response: Any) -> None:
    """Otherwise a server with wrong responses would look fast."""
    with pytest.raises(CallFailed) as failed:
        read(Dialect.COHERE, REQUEST, response)
    assert failed.value.kind == "wrong answer"


def test_routes_follow_the_given_path_and_dialect() -> None:
    """Only the given path and dialect are tried; without them the usual ones."""
    assert routes("/x", None) == [Route(Dialect.COHERE, "/x"), Route(Dialect.TEI, "/x")]
    assert routes("/x", Dialect.TEI) == [Route(Dialect.TEI, "/x")]
    assert routes("/", Dialect.TEI) == routes("", Dialect.TEI) == [Route(Dialect.TEI, "/rerank")]
    assert routes("", None)[0] == Route(Dialect.COHERE, "/v1/rerank")
    assert routes("/v1/", Dialect.COHERE) == [Route(Dialect.COHERE, "/v1/rerank")]  # a base URL of the SDKs
