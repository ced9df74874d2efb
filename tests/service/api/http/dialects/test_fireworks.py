"""Fireworks AI's dialect."""

from typing import Any

import pytest

from support.http import post
from support.running import Served


@pytest.mark.parametrize("name", ["small", "fireworks/small", "accounts/fireworks/models/small"])
async def test_prefix_is_not_a_part_of_the_name(edges: Served, name: str) -> None:
    """litellm puts `fireworks/` before each name. The ranking is under `data` too."""
    body = {"model": name, "query": "0", "documents": ["1", "3"], "top_n": 1, "return_documents": True}
    content = (await post(edges, body, "/inference/v1/rerank")).json()
    assert content["object"] == "list"
    assert [(result["index"], result["document"]) for result in content["data"]] == [(1, "3")]
    assert [(result["index"], result["document"]) for result in content["results"]] == [(1, {"text": "3"})]


@pytest.mark.parametrize("extra", [{}, {"return_documents": None}])
async def test_results_contain_their_documents_by_default(edges: Served, extra: dict[str, Any]) -> None:
    """Fireworks AI documents true as the default."""
    body = {"query": "0", "documents": ["1", "3"], **extra}
    content = (await post(edges, body, "/inference/v1/rerank")).json()
    assert [result["document"] for result in content["data"]] == ["3", "1"]
    assert [result["document"] for result in content["results"]] == [{"text": "3"}, {"text": "1"}]


async def test_documents_are_left_out_on_request(edges: Served) -> None:
    """`document` is absent, not null."""
    body = {"query": "0", "documents": ["1", "3"], "return_documents": False}
    content = (await post(edges, body, "/inference/v1/rerank")).json()
    for name in ("data", "results"):
        assert [result.keys() for result in content[name]] == [{"index", "relevance_score"}] * 2


async def test_other_dialects_of_the_path_stay(edges: Served) -> None:
    """TEI's body has a list as response."""
    content = (await post(edges, {"query": "0", "texts": ["1", "3"]}, "/inference/v1/rerank")).json()
    assert [rank["index"] for rank in content] == [1, 0]
