"""Fireworks AI's dialect."""

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


async def test_other_dialects_of_the_path_stay(edges: Served) -> None:
    """TEI's body has a list as response."""
    content = (await post(edges, {"query": "0", "texts": ["1", "3"]}, "/inference/v1/rerank")).json()
    assert [rank["index"] for rank in content] == [1, 0]
