"""together: blocking and asynchronous."""

from typing import ClassVar

import pytest
import together

from clients.cases import (
    DOCUMENTS,
    MODEL,
    QUERY,
    REFUSED,
    Case,
    NoVainRetryTests,
    RankingTests,
    RankRequest,
    expect,
    wait,
)
from clients.harness import Harness
from clients.setups import client_setup

RAISES = {
    400: together.BadRequestError,
    401: together.AuthenticationError,
    404: together.NotFoundError,
    413: together.APIStatusError,
    429: together.RateLimitError,
    500: together.InternalServerError,
    503: together.InternalServerError,
}


@client_setup("together", dialect="Together")
def root(H: str, k: str, M: str) -> together.Together:
    return together.Together(api_key=k, base_url=H)


@client_setup("together", dialect="Together", note="requests go to `/v1/v1/rerank`")
def below_v1(H: str, k: str, M: str) -> together.Together:
    return together.Together(api_key=k, base_url=H + "/v1")


@client_setup("together", dialect="Together")
def asynchronous(H: str, k: str, M: str) -> together.AsyncTogether:
    return together.AsyncTogether(api_key=k, base_url=H)


def ask(client: together.Together, request: RankRequest) -> list[tuple[int, float]]:
    top_n = together.omit if request.top_n is None else request.top_n
    response = client.rerank.create(model=request.model, query=request.query, documents=DOCUMENTS, top_n=top_n)
    assert response.object == "rerank"
    assert response.model == MODEL
    assert response.usage is not None
    assert response.usage.prompt_tokens == response.usage.total_tokens > 0
    assert response.results is not None
    return [(result.index, result.relevance_score) for result in response.results]


def ask_async(client: together.AsyncTogether, request: RankRequest) -> list[tuple[int, float]]:
    top_n = together.omit if request.top_n is None else request.top_n
    response = wait(client.rerank.create(model=request.model, query=request.query, documents=DOCUMENTS, top_n=top_n))
    assert response.results is not None
    return [(result.index, result.relevance_score) for result in response.results]


class TestOtherSetups(RankingTests):
    """Another base URL."""

    cases: ClassVar = [Case(below_v1, ask, "/v1/v1/rerank", RAISES)]


class TestTogether(NoVainRetryTests):
    """Clients of the SDK."""

    cases: ClassVar = [
        Case(root, ask, "/v1/rerank", RAISES, retries=REFUSED),
        Case(asynchronous, ask_async, "/v1/rerank", RAISES, retries=REFUSED),
    ]

    def test_objects_come_back_as_json(self, harness: Harness) -> None:
        """Objects are ranked by the chosen fields. An object without `text` is returned with its JSON as `text`."""
        documents = [{"title": text, "page": page} for page, text in enumerate(DOCUMENTS)]
        response = harness.open(root).rerank.create(
            model=MODEL, query=QUERY, documents=documents, rank_fields=["title"], return_documents=True
        )
        assert response.results is not None
        expect((result.index, result.relevance_score) for result in response.results)
        first = response.results[0].document
        assert first is not None
        assert first.text == f'{{"title":"{DOCUMENTS[1]}","page":1}}'

    @pytest.mark.parametrize(("status", "server"), [(429, "overloaded"), (503, "draining")])
    def test_refusal_without_retries(self, harness: Harness, status: int, server: str) -> None:
        """Check the exception without retries."""
        harness.recorder.next(server)
        with pytest.raises(RAISES[status]):
            ask(harness.open(root).with_options(max_retries=0), RankRequest())
