"""vLLM's score paths."""

from pathlib import Path
from typing import Any

import pytest

from rerank_service.encoding.template import Template
from rerank_service.models.bundle import Bundle
from support.http import post, works
from support.running import Served, running, served
from support.small import BOOM, WORDS, write_small_model

_CHARS = "0" * 100_001
"""One character more than a query may have."""
_NAMES = [("text_1", "text_2"), ("queries", "documents"), ("queries", "items"), ("data_1", "data_2")]


async def _scores(edges: Served, body: Any) -> list[float]:
    response = await post(edges, {"use_activation": False, **body}, "/v1/score")
    assert response.status_code == 200, response.text
    data = response.json()["data"]
    assert [(entry["index"], entry["object"]) for entry in data] == [(at, "score") for at in range(len(data))]
    return [entry["score"] for entry in data]


@pytest.mark.parametrize(("first", "second"), _NAMES)
async def test_pairs_of_one_or_many_texts(edges: Served, first: str, second: str) -> None:
    """Each pair of names works. Scores are in the order of the request."""
    assert await _scores(edges, {first: "0", second: "3"}) == [3.0]
    assert await _scores(edges, {first: ["0"], second: ["1", "3", "2"]}) == [1.0, 3.0, 2.0]
    assert await _scores(edges, {first: ["5", "0", "5"], second: ["1", "3", "2"]}) == [1.0, 3.0, 2.0]


@pytest.mark.parametrize("path", ["/score", "/v1/score"])
async def test_response_has_vllms_form(edges: Served, path: str) -> None:
    """Scores are probabilities by default."""
    content = (await post(edges, {"model": "small", "text_1": "0 0", "text_2": ["1", "2 2"]}, path)).json()
    assert (content["object"], content["model"]) == ("list", "small")
    assert [entry["score"] for entry in content["data"]] == pytest.approx([0.7310585786300049, 0.9820137900379085])
    assert content["usage"] == {"prompt_tokens": 13, "completion_tokens": 0, "total_tokens": 13}


@pytest.mark.parametrize("text_1", ["0", ["0", "5"]])
@pytest.mark.parametrize("tokens", [None, -1])
async def test_max_tokens_per_doc_cuts_the_texts(edges: Served, text_1: Any, tokens: int | None) -> None:
    """With one query or many, and with and without windows. 0 is the limit of the server."""
    body = {"text_1": text_1, "text_2": ["1 2 4", "3"], "truncate_prompt_tokens": tokens}
    assert await _scores(edges, body | {"max_tokens_per_doc": 2}) == [3.0, 3.0]
    assert await _scores(edges, body | {"max_tokens_per_doc": 0}) == [7.0, 3.0]


async def test_each_pair_has_its_own_query(tmp_path: Path) -> None:
    """A model that also reads the query gives different scores, also for repeated texts."""
    bundle = write_small_model(tmp_path / "model", template=Template(before=("[CLS]", "{query}"), after=("[SEP]",)))
    async with running(bundle) as core, served(core) as edges:
        scores = await _scores(edges, {"queries": ["1", "2", "1", "30"], "documents": ["5", "5", "5", "6"]})
        assert scores == [6.0, 7.0, 6.0, 36.0]


async def test_long_queries_are_counted_with_the_room_that_a_query_has(small_model: Bundle) -> None:
    """Twenty chats of 3,000 tokens, which are cut. They were counted as long documents, so the request was rejected."""
    chats = [f"{number} " * 3_000 for number in range(20)]
    async with running(small_model, max_live_tokens=20 * 64) as core, served(core) as edges:
        assert await _scores(edges, {"queries": chats, "documents": ["1"] * 20}) == [1.0] * 20
        assert edges.core.idle()


async def test_many_pairs_are_one_request(edges: Served) -> None:
    """They are admitted and counted once. Too many are rejected."""
    texts = [str(number % WORDS) for number in range(1000)]
    assert await _scores(edges, {"queries": texts[::-1], "items": texts}) == [float(text) for text in texts]
    assert edges.core.idle()
    most = edges.core.reranker.limits.max_documents + 1
    response = await post(edges, {"text_1": ["1"] * most, "text_2": ["1"] * most}, "/score")
    assert (response.status_code, response.json()["error"]["param"]) == (400, "text_2")
    assert response.json()["message"].startswith("text_2 has 10,001 entries")


@pytest.mark.parametrize(
    ("body", "status", "param", "words"),
    [
        ({}, 400, "text_1", "text_1 is required"),
        ({"text_1": "0"}, 400, "text_2", "text_2 is required"),
        ({"queries": "0", "text_2": "1"}, 400, "queries", "Set either queries or text_1 and text_2, not both."),
        ({"queries": "0", "items": "1", "documents": "1"}, 400, "items", "Set either items or documents, not both."),
        (
            {"text_1": "0", "text_2": "1", "documents": "1"},
            400,
            "documents",
            "Set either documents or text_1 and text_2, not both.",
        ),
        ({"queries": "0", "items": []}, 400, "items", "not be empty"),
        ({"queries": ["0", "1"], "items": ["1"]}, 400, "queries", "has 2 texts and items has 1"),
        ({"data_1": ["0", "1"], "data_2": ["1", "2", "3"]}, 400, "data_1", "has 2 texts and data_2 has 3"),
        ({"text_1": "0", "text_2": ["1", 2]}, 400, "text_2[1]", "must be a valid string"),
        ({"text_1": "0", "text_2": {"content": []}}, 400, "text_2", "must be a valid list, not an object"),
        ({"text_1": "", "text_2": "1"}, 400, "text_1", "must not contain an empty text"),
        ({"text_1": ["0", ""], "text_2": ["1", "2"]}, 400, "text_1", "must not contain an empty text"),
        ({"text_1": "0", "text_2": "1", "truncate_prompt_tokens": 4}, 400, "truncate_prompt_tokens", "at least 5"),
        ({"text_1": _CHARS, "text_2": "1"}, 400, "text_1", "text_1 has 100,001 characters"),
        ({"queries": ["0", _CHARS], "items": ["1", "2"]}, 400, "queries", "queries has 100,001 characters"),
        ({"text_1": "0", "text_2": "1", "instruction": "look"}, 400, "instruction", "instruction"),
        (
            {"text_1": "0", "text_2": "1", "chat_template_kwargs": {"instruction": "look"}},
            400,
            "chat_template_kwargs.instruction",
            "chat_template_kwargs.instruction is not supported by this model",
        ),
        ({"text_1": "0", "text_2": "1", "model": "other"}, 404, "model", "served: small"),
        ({"text_1": "0", "text_2": ["1", BOOM]}, 500, None, "text_2[1]"),
    ],
)
async def test_invalid_field_is_named(edges: Served, body: Any, status: int, param: str | None, words: str) -> None:
    """The error has the name that was sent."""
    response = await post(edges, body, "/score")
    assert response.status_code == status, response.text
    error = response.json()["error"]
    assert (words in error["message"], error["param"]) == (True, param)
    assert await works(edges)


@pytest.mark.parametrize(("left", "right"), [("text_1", "text_2"), ("queries", "documents"), ("data_1", "data_2")])
async def test_pairs_are_scored_on_sagemakers_path(edges: Served, left: str, right: str) -> None:
    """vLLM selects the type of a request there by its fields, too. `query` beside `documents` is a ranking."""
    scores = (await post(edges, {left: "0", right: ["1", "3"], "use_activation": False}, "/invocations")).json()
    assert [score["score"] for score in scores["data"]] == [1.0, 3.0]
    ranking = (await post(edges, {"query": "0", left: None, "documents": ["1", "3"]}, "/invocations")).json()
    assert [result["index"] for result in ranking["results"]] == [1, 0]


@pytest.mark.parametrize(
    ("body", "missing"),
    [({}, "text_1"), ({"query": "0", "documents": ["1"]}, "queries"), ({"text_1": ""}, "text_2")],
)
async def test_any_body_on_the_score_paths_is_of_pairs(edges: Served, body: dict[str, Any], missing: str) -> None:
    """The error names a field of pairs."""
    response = await post(edges, body, "/score")
    assert (response.status_code, response.json()["error"]["param"]) == (400, missing)
