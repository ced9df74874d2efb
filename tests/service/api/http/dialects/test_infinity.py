"""Infinity's dialect."""

from support.http import post
from support.running import Served


async def test_documents_are_returned_as_strings(edges: Served) -> None:
    """litellm's provider requires strings. The rest is unified."""
    body = {"query": "0", "documents": ["1", {"title": "3"}, {"text": "2"}], "return_documents": True}
    content = (await post(edges, body, "/infinity/rerank")).json()
    assert [result["document"] for result in content["results"]] == ['{"title":"3"}', "2", "1"]
    assert (content["object"], content["model"], content["usage"]["total_tokens"]) == ("rerank", "small", 15)
    wrong = await post(edges, {"query": "0", "documents": []}, "/infinity/rerank")
    assert (wrong.status_code, wrong.json()["error"]["param"]) == (400, "documents")
