"""Unified dialect: responses, and fields that are applied, rejected or ignored."""

from typing import Any

import pytest

from support.http import post, works
from support.running import Served
from support.small import BOOM, NAN

PATHS = ("/v1/rerank", "/v2/rerank")


@pytest.mark.parametrize(
    ("path", "version"),
    [
        ("/v1/rerank", "1"),
        ("/v2/rerank", "2"),
        ("/rerank", "1"),
        ("/v1/v1/rerank", "1"),
        ("/v1/v2/rerank", "2"),
        ("/v2/v2/rerank", "2"),
        ("/reranking", "1"),
        ("/v1/reranking", "1"),
        ("/v3/rerank", "1"),
        ("/api/rerank", "1"),
        ("/openai/v1/rerank", "1"),
        ("/providers/cohere/v2/rerank", "2"),
        ("/reranks", "1"),
        ("/v1/reranks", "1"),
        ("/compatible-api/v1/reranks", "1"),
        ("/invocations", "1"),
    ],
)
async def test_response_has_the_keys_of_all_clients(edges: Served, path: str, version: str) -> None:
    """It has no `message`, which cohere 4.57 takes for an error."""
    response = await post(edges, {"model": "small", "query": "0 0", "documents": ["1", "2 2"], "top_n": 1}, path)
    content = response.json()
    assert content.pop("id") == response.headers["x-request-id"]
    assert content.pop("created") > 1_700_000_000
    (result,) = content.pop("results")
    assert result == {"index": 1, "relevance_score": pytest.approx(0.9820137900379085)}
    assert content == {
        "object": "rerank",
        "model": "small",
        "usage": {"prompt_tokens": 13, "completion_tokens": 0, "total_tokens": 13},
        "meta": {
            "score_type": "sigmoid",
            "api_version": {"version": version},
            "billed_units": {"search_units": 1},
            "tokens": {"input_tokens": 13, "output_tokens": 0},
        },
    }


async def test_body_of_sagemakers_clients_is_ranked(edges: Served) -> None:
    """cohere's client for SageMaker sends `api_version`. TEI's body has a list as response on the same path."""
    body = {"query": "0", "documents": ["1", "3"], "top_n": None, "api_version": 1}
    content = (await post(edges, body, "/invocations")).json()
    assert [result["index"] for result in content["results"]] == [1, 0]
    texts = (await post(edges, {"query": "0", "texts": ["1", "3"]}, "/invocations")).json()
    assert [rank["index"] for rank in texts] == [1, 0]


async def test_search_units_are_hundreds_of_documents(edges: Served) -> None:
    """Search units are rounded up."""
    for documents, units in ((100, 1), (101, 2)):
        content = (await post(edges, {"query": "0", "documents": ["1"] * documents})).json()
        assert content["meta"]["billed_units"]["search_units"] == units


async def test_documents_are_returned_as_objects_with_a_text(edges: Served) -> None:
    """An object without a text has its compact JSON as `text`."""
    documents = ["1", {"text": "2", "n": 1}, {"title": "3", "at": [1]}, {"text": None, "title": "4"}]
    content = (await post(edges, {"query": "0", "documents": documents, "return_documents": True, "top_n": 9})).json()
    returned = {result["index"]: result["document"] for result in content["results"]}
    assert returned == {
        0: {"text": "1"},
        1: {"text": "2", "n": 1},
        2: {"title": "3", "at": [1], "text": '{"title":"3","at":[1]}'},
        3: {"text": '{"text":null,"title":"4"}', "title": "4"},
    }
    assert "data" not in content


async def test_body_that_may_be_voyages_gets_data(edges: Served) -> None:
    """`data` is beside `results`, with documents as strings."""
    body = {"query": "0", "documents": ["1", {"title": "7"}], "top_k": 2, "return_documents": True}
    content = (await post(edges, body)).json()
    assert [entry["document"] for entry in content["data"]] == ['{"title":"7"}', "1"]
    assert [result["index"] for result in content["data"]] == [result["index"] for result in content["results"]]


@pytest.mark.parametrize(
    ("extra", "name"),
    [
        ({"top_k": 1}, "list"),
        ({"top_k": 1, "instruction": ""}, "list"),
        ({"truncation": True}, "list"),
        ({"truncation": False}, "list"),
        ({}, "rerank"),
        ({"top_n": 1, "rank_fields": []}, "rerank"),
        ({"top_k": 0, "truncation": None}, "rerank"),
    ],
)
async def test_object_has_voyages_value_for_voyages_fields(edges: Served, extra: dict[str, Any], name: str) -> None:
    """voyage-ai-provider accepts only "list"; together 1.x and infinity_client accept only "rerank"."""
    content = (await post(edges, {"query": "0", "documents": ["1", "3"], **extra})).json()
    assert content["object"] == name


@pytest.mark.parametrize(
    "extra",
    [
        {
            "top_n": None,
            "rank_fields": None,
            "return_documents": None,
            "model": None,
            "max_tokens_per_doc": None,
            "priority": None,
            "unknown": 1,
        },
        {"return_documents": "true"},
        {"return_documents": "False"},
        {"rank_fields": []},
        {"top_n": 99},
        {"top_n": 1, "top_k": 2},
        {"query": {"text": "0"}},
        {"model": "default", "priority": 3, "max_tokens_per_doc": 4},
    ],
)
async def test_fields_that_clients_send_are_accepted(edges: Served, extra: dict[str, Any]) -> None:
    """Nulls, unknown keys, booleans as strings, a query as an object, and a `top_n` above the number of documents."""
    response = await post(edges, {"query": "0", "documents": ["1", "", {"a": "2"}], **extra})
    assert response.status_code == 200, response.text
    assert len(response.json()["results"]) == (1 if extra.get("top_n") == 1 else 3)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    ("body", "param", "words"),
    [
        ({"documents": ["1"]}, "query", "query is required"),
        ({"query": "0"}, "documents", "documents is required"),
        ({"query": "", "documents": ["1"]}, "query", "must not be empty"),
        ({"query": 5, "documents": ["1"]}, "query", "must be a valid string"),
        ({"query": "0", "documents": []}, "documents", "must not be empty"),
        ({"query": "0", "documents": 1}, "documents", "must be a valid list"),
        ({"query": "0", "documents": {"0": "1", "2": "3"}}, "documents", "must be a valid list, not an object"),
        ({"query": "0", "documents": ["1", 2]}, "documents[1]", "must be a string or an object"),
        ({"query": "0", "documents": ["1", None]}, "documents[1]", "must be a string or an object"),
        ({"query": "0", "documents": ["1", {}]}, "documents[1]", "no field"),
        ({"query": "0", "documents": [{"a": "1"}], "rank_fields": ["b"]}, "documents[0]", "none of the rank_fields"),
        ({"query": "0", "documents": ["1"], "top_n": -1}, "top_n", "greater than or equal to 0"),
        ({"query": "0", "documents": ["1"], "top_n": 1.5}, "top_n", "must be a valid integer"),
        ({"query": "0", "documents": ["1"], "top_n": True}, "top_n", "must be a valid integer"),
        ({"query": "0", "documents": ["1"], "top_n": "2"}, "top_n", "must be a valid integer"),
        (
            {"query": "0", "documents": ["1"], "return_documents": "maybe"},
            "return_documents",
            "must be a valid boolean",
        ),
        ({"query": "0", "documents": ["1"], "return_documents": 1}, "return_documents", "must be a valid boolean"),
        ({"query": "0", "documents": ["1"], "rank_fields": [1]}, "rank_fields[0]", "must be a valid string"),
        ({"query": "0", "documents": ["1"], "truncate_prompt_tokens": -2}, "truncate_prompt_tokens", "or equal to -1"),
        ({"query": "0", "documents": ["1"], "truncate_prompt_tokens": 4}, "truncate_prompt_tokens", "at least 5"),
        ({"query": "0", "documents": ["1"], "max_tokens_per_query": -1}, "max_tokens_per_query", "or equal to 0"),
    ],
)
async def test_invalid_field_is_named(edges: Served, path: str, body: Any, param: str, words: str) -> None:
    """The status is 400, with the same message under each key that clients read, and the field as `param`."""
    response = await post(edges, body, path)
    content = response.json()
    assert response.status_code == 400
    assert words in content["message"]
    assert content["detail"] == content["message"] == content["error"]["message"]
    assert (content["error"]["type"], content["error"]["param"]) == ("invalid_request_error", param)
    assert isinstance(content["error"]["code"], str)
    assert await works(edges)


async def test_error_for_voyage_has_no_error_object(edges: Served) -> None:
    """voyageai up to 0.4.1 fails on the object while it builds its exception."""
    for key in ("top_k", "truncation"):
        content = (await post(edges, {"query": "", "documents": ["1"], key: 1})).json()
        assert content.keys() == {"message", "detail"}


async def test_unknown_model_is_404(edges: Served) -> None:
    """The message lists the served models."""
    response = await post(edges, {"model": "other", "query": "0", "documents": ["1"]})
    assert (response.status_code, response.json()["error"]["type"]) == (404, "not_found_error")
    assert "served: small" in response.json()["message"]


@pytest.mark.parametrize("word", [NAN, BOOM])
async def test_document_on_which_the_model_fails_is_named(edges: Served, word: str) -> None:
    """The status is 500. The server continues."""
    response = await post(edges, {"query": "0", "documents": ["1", word]})
    assert (response.status_code, response.json()["error"]["type"]) == (500, "server_error")
    assert "documents[1]" in response.json()["message"]
    assert await works(edges)


BODY = {"query": "0", "documents": ["1", "3", "2"]}


@pytest.mark.parametrize(
    "extra",
    [{"raw_scores": True}, {"use_activation": False}, {"activation": False}, {"softmax": False}, {"score_type": "raw"}],
)
async def test_raw_scores_on_request(edges: Served, extra: dict[str, Any]) -> None:
    """Infinity's field, vLLM's three fields, and ours."""
    content = (await post(edges, BODY | extra)).json()
    assert [result["relevance_score"] for result in content["results"]] == [3.0, 2.0, 1.0]


async def test_min_score_removes_results(edges: Served) -> None:
    """The field has the name of rerank.proto."""
    content = (await post(edges, BODY | {"raw_scores": True, "min_score": 2})).json()
    assert [result["relevance_score"] for result in content["results"]] == [3.0, 2.0]


async def test_vllm_fields_select_the_cut_side(edges: Served) -> None:
    """`truncate_prompt_tokens` and `truncation_side`."""
    long = {"query": "0", "documents": ["5 " + "1 " * 40 + "7"], "raw_scores": True, "truncate_prompt_tokens": -1}
    for side, logit in ((None, 5 + 27), ("right", 5 + 27), ("left", 27 + 7)):
        content = (await post(edges, {**long, "truncation_side": side})).json()
        assert content["results"][0]["relevance_score"] == logit


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        ({"relevant_spans": {}}, "mode is required"),
        ({"relevant_spans": {"mode": "on"}}, "must be 'enabled', 'disabled'"),
        ({"relevant_spans": {"mode": "enabled", "threshold": "high"}}, "must be a valid number"),
        ({"relevant_spans": {"mode": "enabled", "max_spans": -1}}, "must be greater than or equal to 0"),
        ({"relevant_spans": 1}, "must be"),
        ({"highlights": -1}, "must be greater than or equal to 0"),
        ({"highlights": True}, "must be a valid integer"),
        ({"return_embeddings": True}, "is not supported"),
        ({"truncation_side": "middle"}, "must be"),
        ({"kwargs": '{"batch_size": 1}'}, "must be empty"),
        ({"kwargs": {"batch_size": 1}}, "must be empty"),
        ({"instruct": "look"}, "instruct is not supported by this model"),
        ({"instruction": "look"}, "instruction"),
        ({"chat_template_kwargs": {"instruction": "look"}}, "chat_template_kwargs.instruction is not supported by"),
        ({"chat_template_kwargs": {"x": 1}}, "chat_template_kwargs.x is not supported"),
        ({"query": {"content": [{"type": "image_url"}]}}, "must be a valid string"),
        ({"documents": {"content": []}}, "must be a valid list"),
        ({"documents": [{"content": [{"type": "image_url", "image_url": {"url": "x"}}]}]}, "ranks text"),
        ({"documents": [{"image": "https://example.com/1.png"}]}, "ranks text"),
        ({"return_len": "long"}, "must be a valid boolean"),
        ({"priority": 2**31}, "must be less than"),
    ],
)
async def test_unsupported_field_that_changes_the_result_is_rejected(
    edges: Served, extra: dict[str, Any], words: str
) -> None:
    """The status is 400, and the error names the field."""
    response = await post(edges, BODY | extra)
    assert response.status_code == 400
    assert words in response.json()["message"]
    (name,) = extra
    assert response.json()["error"]["param"].startswith(name)
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
    ],
)
async def test_fields_without_effect_are_accepted(edges: Served, extra: dict[str, Any]) -> None:
    """Default values that clients send, names of engines, images beside a text."""
    response = await post(edges, BODY | extra)
    assert response.status_code == 200, response.text


async def test_text_parts_of_vllm_have_the_score_of_their_text(edges: Served) -> None:
    """As a document, and as the query."""
    parts = [{"content": [{"type": "text", "text": text}]} for text in ("0 0", "1 3")]
    plain = (await post(edges, {"query": "0 0", "documents": ["1 3"]})).json()
    sent = (await post(edges, {"query": parts[0], "documents": parts[1:], "return_documents": True})).json()
    assert sent["usage"] == plain["usage"]
    (result,) = sent["results"]
    assert result.pop("document") == {**parts[1], "text": "1 3"}
    assert [result] == plain["results"]


@pytest.mark.parametrize("path", ["/rerank", *PATHS])
async def test_one_text_stands_for_a_list_of_it(edges: Served, path: str) -> None:
    """As in vLLM, also for an empty text."""
    for text in ("3 2", ""):
        body = {"query": "0", "documents": text, "return_documents": True, "raw_scores": True}
        [result] = (await post(edges, body, path)).json()["results"]
        listed = await post(edges, {**body, "documents": [text]}, path)
        assert [result] == listed.json()["results"]
        assert (result["index"], result["document"]) == (0, {"text": text})


async def test_equal_scores_keep_the_order_of_the_request(edges: Served) -> None:
    """They are sorted by ascending index."""
    content = (await post(edges, {"query": "0", "documents": ["2", "1", "2", "1"]})).json()
    assert [result["index"] for result in content["results"]] == [0, 2, 1, 3]


@pytest.mark.parametrize("name", ["", "default", "small"])
async def test_default_model_has_several_names(edges: Served, name: str) -> None:
    """The response has its real name."""
    assert (await post(edges, {**BODY, "model": name})).json()["model"] == "small"


async def test_successful_response_has_no_message(edges: Served) -> None:
    """cohere 4.57 takes it for an error."""
    assert "message" not in (await post(edges, BODY)).json()


@pytest.mark.parametrize("levels", [30, 950, 1015, 1019])
async def test_media_type_may_be_nested_as_deeply_as_json(edges: Served, levels: int) -> None:
    """Python's text of such a value would exceed its limit of recursion."""
    kind = b"[" * levels + b"]" * levels
    response = await post(edges, b'{"query": "0", "documents": [{"content": [{"type": %s}]}]}' % kind)
    assert response.status_code == 400
    assert "documents[0] is nested more than 24 levels deep" in response.json()["message"]
