"""together 1.5: blocking and asynchronous. It obeys `retry-after` only if the header name is in lower case."""

from typing import Any, ClassVar

import together
from together import error

from clients.cases import DOCUMENTS, MODEL, QUERY, RETRIED, Case, RankingTests, RankRequest, RetryTests, expect, wait
from clients.harness import Harness
from clients.setups import client_setup

RAISES = {
    400: error.InvalidRequestError,
    401: error.AuthenticationError,
    404: error.InvalidRequestError,
    413: error.APIError,
    429: error.RateLimitError,
    500: error.APIError,
    503: error.ServiceUnavailableError,
}
BROKEN = "does not retry; under `asyncio.run` the repr of its errors raises"


@client_setup("together", dialect="Together", note="404 is an InvalidRequestError")
def below_v1(H: str, k: str, M: str) -> Any:
    return together.Together(api_key=k, base_url=H + "/v1")


@client_setup("together", dialect="Together", note="requests go to `/rerank`")
def root(H: str, k: str, M: str) -> Any:
    return together.Together(api_key=k, base_url=H)


@client_setup("together", dialect="Together", note=BROKEN)
def asynchronous(H: str, k: str, M: str) -> Any:
    return together.AsyncTogether(api_key=k, base_url=H + "/v1")


def ask(client: Any, request: RankRequest) -> list[tuple[int, float]]:
    response = client.rerank.create(model=request.model, query=request.query, documents=DOCUMENTS, top_n=request.top_n)
    return ranked(response)


def ask_async(client: Any, request: RankRequest) -> list[tuple[int, float]]:
    called = client.rerank.create(model=request.model, query=request.query, documents=DOCUMENTS, top_n=request.top_n)
    return ranked(wait(called))


def ranked(response: Any) -> list[tuple[int, float]]:
    assert response.object == "rerank"
    assert response.usage.prompt_tokens == response.usage.total_tokens > 0
    return [(result.index, result.relevance_score) for result in response.results]


class TestOtherSetups(RankingTests):
    """Another base URL."""

    cases: ClassVar = [Case(root, ask, "/rerank", RAISES)]


class TestTogether(RetryTests):
    """Clients of the SDK."""

    cases: ClassVar = [
        Case(below_v1, ask, "/v1/rerank", RAISES, retries=RETRIED),
        Case(asynchronous, ask_async, "/v1/rerank", RAISES),
    ]

    def test_objects_come_back(self, harness: Harness) -> None:
        """Objects are ranked by rank_fields and returned."""
        documents = [{"title": text, "page": page} for page, text in enumerate(DOCUMENTS)]
        response = harness.open(below_v1).rerank.create(
            model=MODEL, query=QUERY, documents=documents, rank_fields=["title"], return_documents=True
        )
        expect((result.index, result.relevance_score) for result in response.results)
        assert response.results[0].document["title"] == DOCUMENTS[1]
