"""Pinecone's dialect."""

from typing import Any

import pytest

from support.http import post
from support.running import Served

_BODY: dict[str, Any] = {
    "model": "small",
    "query": "0",
    "documents": [{"id": "a", "text": "1"}, {"id": "b", "text": "3"}],
    "rank_fields": ["text"],
    "return_documents": True,
}
_LONG = " ".join(["1"] * 60)


async def test_response_has_pinecones_form(edges: Served) -> None:
    """Objects come back unchanged. The unified keys are there too, for other clients with the same keys."""
    content = (await post(edges, _BODY | {"top_n": 1}, "/rerank")).json()
    assert [(result["index"], result["document"]) for result in content["data"]] == [(1, {"id": "b", "text": "3"})]
    assert content["data"][0].keys() == {"index", "score", "document"}
    assert content["data"][0]["score"] == content["results"][0]["relevance_score"]
    assert (content["model"], content["usage"]["rerank_units"]) == ("small", 1)


async def test_objects_without_a_text_come_back_unchanged(edges: Served) -> None:
    """Pinecone's documents have any fields."""
    documents = [{"id": "a", "chunk": "1", "text": 5}, {"id": "b", "chunk": "3"}]
    body = _BODY | {"documents": documents, "rank_fields": ["chunk"]}
    content = (await post(edges, body, "/rerank")).json()
    assert [result["document"] for result in content["data"]] == documents[::-1]


async def test_documents_are_left_out_on_request(edges: Served) -> None:
    """`document` is absent, not null."""
    content = (await post(edges, _BODY | {"return_documents": False}, "/rerank")).json()
    assert [result.keys() for result in content["data"]] == [{"index", "score"}] * 2


async def test_fields_are_selected(edges: Served) -> None:
    """`rank_fields` has the default `["text"]` in Pinecone's client."""
    documents = [{"text": "1", "title": "9"}, {"text": "3", "title": "0"}]
    for field, order in (("text", [1, 0]), ("title", [0, 1])):
        content = (await post(edges, _BODY | {"documents": documents, "rank_fields": [field]}, "/rerank")).json()
        assert [result["index"] for result in content["data"]] == order


@pytest.mark.parametrize(
    ("parameters", "status"),
    [(None, 200), ({}, 200), ({"truncate": "END"}, 200), ({"truncate": "NONE"}, 400), ({"truncate": "MIDDLE"}, 400)],
)
async def test_truncate_applies(edges: Served, parameters: Any, status: int) -> None:
    """NONE rejects a document that is too long. Without it, the document is scored in windows."""
    body = _BODY | {"documents": [{"text": "1"}, {"text": _LONG}], "parameters": parameters}
    assert (await post(edges, body, "/rerank")).status_code == status


@pytest.mark.parametrize(
    "extra", [{}, {"rank_fields": None, "return_documents": None}, {"rank_fields": []}, {"top_n": 0, "model": "small"}]
)
async def test_body_with_parameters_has_pinecones_defaults(edges: Served, extra: dict[str, Any]) -> None:
    """`rank_fields` is `["text"]`, and `return_documents` is true."""
    documents = [{"text": "1", "title": "9"}, {"text": "3", "title": "0"}]
    content = (await post(edges, {"query": "0", "documents": documents, "parameters": {}, **extra}, "/rerank")).json()
    assert [(result["index"], result["document"]) for result in content["data"]] == [
        (1, documents[1]),
        (0, documents[0]),
    ]


async def test_values_of_the_body_override_pinecones_defaults(edges: Served) -> None:
    """Each by itself."""
    body = {"query": "0", "documents": [{"text": "1", "title": "9"}, {"text": "3", "title": "0"}], "parameters": {}}
    content = (await post(edges, body | {"rank_fields": ["title"]}, "/rerank")).json()
    assert [(result["index"], "document" in result) for result in content["data"]] == [(0, True), (1, True)]
    content = (await post(edges, body | {"return_documents": False}, "/rerank")).json()
    assert [(result["index"], "document" in result) for result in content["data"]] == [(1, False), (0, False)]


async def test_truncate_applies_without_rank_fields(edges: Served) -> None:
    """It was dropped with the unified dialect."""
    body = {"query": "0", "documents": [{"text": _LONG}], "parameters": {"truncate": "NONE"}}
    assert (await post(edges, body, "/rerank")).status_code == 400


async def test_invalid_rank_fields_beside_parameters_are_named(edges: Served) -> None:
    """They are not replaced by the default."""
    body = {"query": "0", "documents": [{"text": "1"}], "parameters": {}, "rank_fields": False}
    response = await post(edges, body, "/rerank")
    assert (response.status_code, response.json()["error"]["param"]) == (400, "rank_fields")


@pytest.mark.parametrize("parameters", [None, [], "END"], ids=repr)
async def test_body_without_any_mark_of_pinecone_is_unified(edges: Served, parameters: Any) -> None:
    """Cohere's clients may send the same keys: all fields are ranked, and no document is returned."""
    documents = [{"text": "1", "title": "9"}, {"text": "3", "title": "0"}]
    content = (await post(edges, {"query": "0", "documents": documents, "parameters": parameters}, "/rerank")).json()
    assert "rerank_units" not in content["usage"]
    assert [(result["index"], "document" in result) for result in content["results"]] == [(0, False), (1, False)]


@pytest.mark.parametrize("value", [None, []])
async def test_neutral_rank_fields_without_parameters_are_all_fields(edges: Served, value: Any) -> None:
    """Clients of other services send the keys of Pinecone's client, too."""
    documents = [{"text": "1", "title": "9"}, {"text": "3", "title": "0"}]
    body = {"query": "0", "documents": documents, "rank_fields": value, "return_documents": None}
    content = (await post(edges, body, "/rerank")).json()
    assert [(result["index"], "document" in result) for result in content["data"]] == [(0, False), (1, False)]


@pytest.mark.parametrize(
    "change",
    [
        {"documents": ["1", "3"]},
        {"documents": [{"text": "1"}, "3"]},
        {"max_chunks_per_doc": 1},
        {"max_chunks_per_doc": 1, "parameters": {}},
    ],
)
async def test_other_bodies_are_unified(edges: Served, change: dict[str, Any]) -> None:
    """Pinecone's client sends objects, and no other keys."""
    content = (await post(edges, _BODY | change, "/rerank")).json()
    assert "rerank_units" not in content["usage"]
    assert len(content["results"]) == 2


@pytest.mark.parametrize("documents", [None, 5, True, {"text": "1"}, []], ids=repr)
async def test_documents_of_a_wrong_type_are_named(edges: Served, documents: Any) -> None:
    """The error is that of any other body: 400."""
    response = await post(edges, _BODY | {"documents": documents}, "/rerank")
    assert (response.status_code, response.json()["error"]["param"]) == (400, "documents")
