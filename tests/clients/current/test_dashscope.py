"""dashscope: blocking and asynchronous. It never raises: a response has a status, a code and a message."""

from functools import partial
from typing import Any, ClassVar

import dashscope
import pytest
from dashscope import AioTextReRank, TextReRank

from clients.cases import DOCUMENTS, STATUSES, Case, RankRequest, ReportedError, RetryTests, expect, wait
from clients.harness import Harness
from clients.setups import client_setup

NOTE = "raises no exception: check `status_code`, `code` and `message`"


@client_setup("dashscope", dialect="DashScope", note=NOTE)
def blocking(H: str, k: str, M: str) -> Any:
    dashscope.base_http_api_url = H + "/api/v1"
    return partial(TextReRank.call, api_key=k)


@client_setup("dashscope", dialect="DashScope", note=NOTE)
def asynchronous(H: str, k: str, M: str) -> Any:
    dashscope.base_http_api_url = H + "/api/v1"
    return partial(AioTextReRank.call, api_key=k)


def ask(call: Any, request: RankRequest) -> list[tuple[int, float]]:
    response = call(request.model, request.query, DOCUMENTS, return_documents=True, top_n=request.top_n)
    return ranked(response)


def ask_async(call: Any, request: RankRequest) -> list[tuple[int, float]]:
    return ranked(wait(call(request.model, request.query, DOCUMENTS, return_documents=True, top_n=request.top_n)))


def ranked(response: Any) -> list[tuple[int, float]]:
    if response.status_code != 200:
        assert response.code
        raise ReportedError(response.message)
    assert response.usage["total_tokens"] > 0
    assert response.request_id
    for result in response.output.results:
        assert result["document"]["text"] == DOCUMENTS[result["index"]]
    return [(result.index, result.relevance_score) for result in response.output.results]


class TestDashScope(RetryTests):
    """Clients of the SDK."""

    cases: ClassVar = [
        Case(way, asking, "/api/v1/services/rerank/text-rerank/text-rerank", dict.fromkeys(STATUSES, ReportedError))
        for way, asking in ((blocking, ask), (asynchronous, ask_async))
    ]

    @pytest.mark.parametrize("name", [each for key, each in vars(TextReRank.Models).items() if key[0] != "_"])
    def test_names_of_the_sdk_are_accepted(self, harness: Harness, name: str) -> None:
        """They stand for the served model."""
        expect(ask(harness.open(blocking), RankRequest(model=name)))

    def test_error_message_is_passed_on(self, harness: Harness) -> None:
        """The message of the server is the message of the response."""
        with pytest.raises(ReportedError, match="served: starter"):
            ask(harness.open(blocking), RankRequest(model="no-such-model"))
