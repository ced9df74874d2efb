"""What is sent to servers of either dialect, and what is taken for a ranking."""

from typing import Any

import pytest

from rerank_service.tools.loadtest.dialects import Dialect, Route, body, read, routes
from rerank_service.tools.loadtest.target import Answer, CallFailed
from rerank_service.tools.loadtest.workload import Request

REQUEST = Request("q", ("a", "b"))


def test_a_body_is_what_its_servers_take() -> None:
    """With a model where one is known; TEI's told to cut what is too long."""
    assert body(Dialect.COHERE, REQUEST, "m") == {"model": "m", "query": "q", "documents": ("a", "b"), "top_n": 2}
    assert "model" not in body(Dialect.COHERE, REQUEST, "")
    assert body(Dialect.TEI, REQUEST, "m") == {"model": "m", "query": "q", "texts": ("a", "b"), "truncate": True}


def test_answers_of_both_dialects_are_read() -> None:
    """Tokens where the server counts them."""
    results = [{"index": 1, "relevance_score": 0.9}, {"index": 0, "relevance_score": 0.1}]
    assert read(Dialect.COHERE, REQUEST, {"results": results}) == Answer()
    assert read(Dialect.COHERE, REQUEST, {"results": results, "usage": {"prompt_tokens": 9}}) == Answer(tokens=9)
    assert read(Dialect.TEI, REQUEST, [{"index": 1, "score": 0.9}, {"index": 0, "score": 0.1}]) == Answer()


@pytest.mark.parametrize(
    "answer",
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
def test_what_ranks_not_all_documents_is_a_wrong_answer(answer: Any) -> None:
    """A server that answers fast and wrong is not fast."""
    with pytest.raises(CallFailed) as failed:
        read(Dialect.COHERE, REQUEST, answer)
    assert failed.value.kind == "wrong answer"


def test_what_is_tried_follows_from_what_is_known() -> None:
    """A path is kept to; so is a dialect."""
    assert routes("/x", None) == [Route(Dialect.COHERE, "/x"), Route(Dialect.TEI, "/x")]
    assert routes("/x", Dialect.TEI) == [Route(Dialect.TEI, "/x")]
    assert routes("/", Dialect.TEI) == routes("", Dialect.TEI) == [Route(Dialect.TEI, "/rerank")]
    assert routes("", None)[0] == Route(Dialect.COHERE, "/v1/rerank")
