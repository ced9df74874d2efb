"""cohere 4.57: blocking and asynchronous. Every error is a CohereAPIError, with an `http_status`."""

from typing import Any, ClassVar

import cohere
import pytest

from clients.cases import DOCUMENTS, QUERY, RETRIED, Case, RankingTests, RankRequest, RetryTests, expect, wait
from clients.harness import Harness
from clients.setups import client_setup

NOTE = "every error is a CohereAPIError; read its `http_status`"
RAISES = dict.fromkeys((400, 401, 404, 413, 500), cohere.CohereAPIError)


@client_setup("cohere", dialect="Cohere v1", note=NOTE)
def blocking(H: str, k: str, M: str) -> Any:
    return cohere.Client(k, api_url=H)


@client_setup("cohere", dialect="Cohere v1", note=NOTE)
def asynchronous(H: str, k: str, M: str) -> Any:
    return cohere.AsyncClient(k, api_url=H)


def ask(client: Any, request: RankRequest) -> list[tuple[int, float]]:
    response = client.rerank(query=request.query, documents=DOCUMENTS, model=request.model, top_n=request.top_n)
    assert response.meta["billed_units"]["search_units"] == 1
    return [(result.index, result.relevance_score) for result in response.results]


def ask_async(client: Any, request: RankRequest) -> list[tuple[int, float]]:
    async def asking() -> Any:
        return await client.rerank(query=request.query, documents=DOCUMENTS, model=request.model, top_n=request.top_n)

    return [(result.index, result.relevance_score) for result in wait(asking()).results]


class TestCohere(RetryTests):
    """The blocking client."""

    cases: ClassVar = [Case(blocking, ask, "/v1/rerank", RAISES, retries=RETRIED)]

    def test_statuses(self, harness: Harness) -> None:
        """Check 400 and 404, with the message of the server."""
        for request, status in ((RankRequest(query=""), 400), (RankRequest(model="other"), 404)):
            with pytest.raises(cohere.CohereAPIError) as caught:
                ask(harness.open(blocking), request)
            assert caught.value.http_status == status
            assert "must not be empty" in str(caught.value) or "served: starter" in str(caught.value)

    def test_objects(self, harness: Harness) -> None:
        """The client wraps strings, and sends objects with `text` unchanged."""
        documents = [{"text": text, "page": page} for page, text in enumerate(DOCUMENTS)]
        response = harness.open(blocking).rerank(query=QUERY, documents=documents, model="starter")
        expect((result.index, result.relevance_score) for result in response.results)


class TestAsynchronous(RankingTests):
    """The asynchronous client."""

    cases: ClassVar = [Case(asynchronous, ask_async, "/v1/rerank", RAISES)]
