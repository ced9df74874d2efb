"""Infinity's own path."""

from support.http import post
from support.running import Served


async def test_documents_are_strings_there(edges: Served) -> None:
    """Which litellm's provider demands; the rest is as elsewhere."""
    body = {"query": "0", "documents": ["1", {"title": "3"}, {"text": "2"}], "return_documents": True}
    answer = (await post(edges, body, "/infinity/rerank")).json()
    assert [one["document"] for one in answer["results"]] == ['{"title":"3"}', "2", "1"]
    assert (answer["object"], answer["model"], answer["usage"]["total_tokens"]) == ("rerank", "small", 15)
    wrong = await post(edges, {"query": "0", "documents": []}, "/infinity/rerank")
    assert (wrong.status_code, wrong.json()["error"]["param"]) == (400, "documents")
