"""Elasticsearch's inference service `hugging_face`: its bodies and its parser, rebuilt from their sources.

Source: elastic/elasticsearch, x-pack/plugin/inference, org.elasticsearch.xpack.inference.services.huggingface.

- request/rerank/HuggingFaceRerankRequestEntity writes `texts`, `query`, and, if set, `return_text` and `top_n`.
  An earlier version writes `documents`, `return_documents` and `max_chunks_per_doc` instead.
- response/HuggingFaceRerankResponseEntity.doParse reads a list of `{"index": int, "score": float, "text": string?}`. An
  earlier version throws on any other key (`default: throwUnknownField(parser.currentName(), parser)`).
- response/HuggingFaceErrorResponseEntity.fromResponse reads `(String) responseMap.get("error")`.
"""

from typing import Any

import pytest

from support.http import post
from support.running import Served

_DOCUMENTS = ["1", "3", "", "2"]


def _entity(query: str, texts: list[str], return_text: bool | None, top_n: int | None) -> dict[str, Any]:
    """Return the body of `toXContent`."""
    optional = {"return_text": return_text, "top_n": top_n}
    return {"texts": texts, "query": query, **{name: value for name, value in optional.items() if value is not None}}


def _earlier(query: str, texts: list[str], return_documents: bool | None, top_n: int | None) -> dict[str, Any]:
    """Return the body of the earlier `toXContent`, with all settings of the task."""
    optional = {"return_documents": return_documents, "top_n": top_n, "max_chunks_per_doc": 10}
    return {
        "documents": texts,
        "query": query,
        **{name: value for name, value in optional.items() if value is not None},
    }


def _parsed(content: Any) -> list[tuple[int, float, str | None]]:
    """Return the list as both parsers read it."""
    ranked = []
    for entry in content:
        assert {"index", "score"} <= entry.keys() <= {"index", "score", "text"}
        assert isinstance(entry["index"], int)
        assert isinstance(entry["score"], float)
        assert isinstance(entry.get("text", ""), str)
        ranked.append((entry["index"], entry["score"], entry.get("text")))
    return sorted(ranked, key=lambda each: -each[1])


@pytest.mark.parametrize("build", [_entity, _earlier])
@pytest.mark.parametrize("returned", [True, False, None])
@pytest.mark.parametrize("top_n", [None, 2])
async def test_bare_list_is_parsed(edges: Served, build: Any, returned: bool | None, top_n: int | None) -> None:
    """Elasticsearch sorts and cuts it again."""
    response = await post(edges, build("0", _DOCUMENTS, returned, top_n), "/hf/rerank")
    ranked = _parsed(response.json())
    assert [index for index, _, _ in ranked] == [1, 3, 0, 2][: top_n or 4]
    assert [text for _, _, text in ranked] == [_DOCUMENTS[index] if returned else None for index, _, _ in ranked]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"query": "0"}, "texts is required"),
        ({"query": "0", "texts": []}, "texts must not be empty"),
        ({"query": "0", "documents": []}, "documents must not be empty"),
        ({"query": "0", "texts": ["1"], "documents": ["1"]}, "either texts or documents"),
        ({"query": "0", "texts": ["1", 2]}, "texts[1] must be"),
        ({"query": "0", "documents": ["1", 2]}, "documents[1] must be"),
        ({"query": "", "texts": ["1"]}, "query must not be empty"),
    ],
)
async def test_error_is_a_text(edges: Served, body: dict[str, Any], words: str) -> None:
    """A cast to String fails on an object."""
    response = await post(edges, body, "/hf/rerank")
    assert response.status_code == 400
    assert words in response.json()["error"]


async def test_unused_name_may_be_empty(edges: Served) -> None:
    """Null or an empty list."""
    empty: tuple[list[str] | None, ...] = (None, [])
    for unused in empty:
        response = await post(edges, {"query": "0", "texts": ["1"], "documents": unused, "top_n": 0}, "/hf/rerank")
        assert _parsed(response.json()) == [(0, response.json()[0]["score"], None)]
