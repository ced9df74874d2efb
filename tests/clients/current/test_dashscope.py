"""dashscope: blocking and asynchronous. It raises nothing: an answer has a status, a code and a message."""

from functools import partial
from typing import Any, ClassVar

import dashscope
import pytest
from dashscope import AioTextReRank, TextReRank

from clients.cases import DOCUMENTS, Asked, Case, Checks, Refused, wait
from clients.ground import Ground
from clients.ways import way

NOTE = "raises no exception: check `status_code`, `code` and `message`"
STATUSES = (400, 401, 404, 429, 503)


@way("dashscope", dialect="DashScope", note=NOTE)
def blocking(H: str, k: str, M: str) -> Any:
    dashscope.base_http_api_url = H + "/api/v1"
    return partial(TextReRank.call, api_key=k)


@way("dashscope", dialect="DashScope", note=NOTE)
def asynchronous(H: str, k: str, M: str) -> Any:
    dashscope.base_http_api_url = H + "/api/v1"
    return partial(AioTextReRank.call, api_key=k)


def ask(call: Any, asked: Asked) -> list[tuple[int, float]]:
    answer = call(asked.model, asked.query, DOCUMENTS, return_documents=True, top_n=asked.top_n)
    return ranked(answer)


def ask_async(call: Any, asked: Asked) -> list[tuple[int, float]]:
    return ranked(wait(call(asked.model, asked.query, DOCUMENTS, return_documents=True, top_n=asked.top_n)))


def ranked(answer: Any) -> list[tuple[int, float]]:
    if answer.status_code != 200:
        assert answer.code
        raise Refused(answer.message)
    assert answer.usage["total_tokens"] > 0
    assert answer.request_id
    for one in answer.output.results:
        assert one["document"]["text"] == DOCUMENTS[one["index"]]
    return [(one.index, one.relevance_score) for one in answer.output.results]


class TestDashScope(Checks):
    """The SDK."""

    cases: ClassVar = [
        Case(way, asking, "/api/v1/services/rerank/text-rerank/text-rerank", dict.fromkeys(STATUSES, Refused))
        for way, asking in ((blocking, ask), (asynchronous, ask_async))
    ]

    def test_the_sentence_comes_through(self, ground: Ground) -> None:
        """As the message."""
        with pytest.raises(Refused, match="served: starter"):
            ask(ground.open(blocking), Asked(model="no-such-model"))
