"""Bodies with `documents`: fields that change the result are honoured or refused, those of others ignored."""

from typing import Any

import pytest

from support.http import post, works
from support.running import Served

BODY = {"query": "0", "documents": ["1", "3", "2"]}


@pytest.mark.parametrize(
    "extra",
    [{"raw_scores": True}, {"use_activation": False}, {"activation": False}, {"softmax": False}, {"score_type": "raw"}],
)
async def test_scores_are_raw_where_they_are_asked_for(edges: Served, extra: dict[str, Any]) -> None:
    """By Infinity's name, by each that vLLM has had, and by ours."""
    answer = (await post(edges, BODY | extra)).json()
    assert [one["relevance_score"] for one in answer["results"]] == [3.0, 2.0, 1.0]


async def test_results_below_a_score_are_left_out(edges: Served) -> None:
    """By the name that rerank.proto has for it."""
    answer = (await post(edges, BODY | {"raw_scores": True, "min_score": 2})).json()
    assert [one["relevance_score"] for one in answer["results"]] == [3.0, 2.0]


async def test_a_cut_is_made_where_vllms_fields_say(edges: Served) -> None:
    """truncate_prompt_tokens and truncation_side."""
    long = {"query": "0", "documents": ["5 " + "1 " * 40 + "7"], "raw_scores": True, "truncate_prompt_tokens": -1}
    for side, logit in ((None, 5 + 27), ("right", 5 + 27), ("left", 27 + 7)):
        answer = (await post(edges, {**long, "truncation_side": side})).json()
        assert answer["results"][0]["relevance_score"] == logit


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        ({"relevant_spans": {}}, "is not supported"),
        ({"return_embeddings": True}, "is not supported"),
        ({"truncate_prompt_tokens": 100}, "must be -1"),
        ({"truncation_side": "middle"}, "must be"),
        ({"max_tokens_per_query": 5}, "is not supported"),
        ({"kwargs": '{"batch_size": 1}'}, "must be empty"),
        ({"kwargs": {"batch_size": 1}}, "must be empty"),
        ({"instruct": "look"}, "instruction"),
        ({"instruction": "look"}, "instruction"),
        ({"query": {"content": [{"type": "image_url"}]}}, "must be a valid string"),
        ({"documents": {"content": []}}, "must be a valid list"),
        ({"documents": [{"content": [{"type": "image_url", "image_url": {"url": "x"}}]}]}, "ranks text"),
        ({"documents": [{"image": "https://example.com/1.png"}]}, "ranks text"),
        ({"return_len": "long"}, "must be a valid boolean"),
        ({"priority": 2**31}, "must be less than"),
    ],
)
async def test_what_would_change_the_result_and_is_not_done_is_refused(
    edges: Served, extra: dict[str, Any], words: str
) -> None:
    """400 that names it."""
    response = await post(edges, BODY | extra)
    assert response.status_code == 400
    assert words in response.json()["message"]
    (name,) = extra
    assert response.json()["error"]["param"].startswith({"instruct": "instruction"}.get(name, name))
    assert await works(edges)


@pytest.mark.parametrize(
    "extra",
    [
        {"top_n": 3.0, "priority": -1.0},
        {"kwargs": "{}", "return_len": "False", "max_chunks_per_doc": None},
        {
            "backend": "rerankers",
            "user": "me",
            "encoding_format": "float",
            "cache_salt": "x",
            "mm_processor_kwargs": {},
        },
        {"relevant_spans": None, "return_embeddings": False, "truncate_prompt_tokens": None, "softmax": True},
        {"documents": ["1", "3", {"text": "2", "image": "https://example.com/1.png"}]},
        {"documents": ["1", "3", {"image": "2"}], "rank_fields": ["image"]},
        {"documents": ["1", "3", {"content": [{"type": "text", "text": "2"}]}]},
    ],
)
async def test_what_asks_for_nothing_is_taken(edges: Served, extra: dict[str, Any]) -> None:
    """Defaults that clients send, names of engines, pictures beside a text."""
    response = await post(edges, BODY | extra)
    assert response.status_code == 200, response.text


async def test_ties_are_in_the_order_of_the_input(edges: Served) -> None:
    """By ascending index."""
    answer = (await post(edges, {"query": "0", "documents": ["2", "1", "2", "1"]})).json()
    assert [one["index"] for one in answer["results"]] == [0, 2, 1, 3]


@pytest.mark.parametrize("name", ["", "default", "small"])
async def test_the_default_has_several_names(edges: Served, name: str) -> None:
    """And the answer says which it is."""
    assert (await post(edges, {**BODY, "model": name})).json()["model"] == "small"


async def test_no_success_has_a_message(edges: Served) -> None:
    """cohere 4.57 takes it for an error."""
    assert "message" not in (await post(edges, BODY)).json()
