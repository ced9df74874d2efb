"""cohere: Client and ClientV2, blocking and asynchronous."""

from typing import Any, ClassVar

import cohere
import pytest

from clients.cases import DOCUMENTS, MODEL, QUERY, RETRIED, Case, RankingTests, RankRequest, RetryTests, expect, wait
from clients.cohere_errors import COHERE_ERRORS
from clients.harness import Harness
from clients.setups import client_setup


@client_setup("cohere", dialect="Cohere v1")
def v1(H: str, k: str, M: str) -> cohere.Client:
    return cohere.Client(api_key=k, base_url=H)


@client_setup("cohere", dialect="Cohere v1", note="the form in Together's quick start; requests go to `/v1/v1/rerank`")
def v1_below_v1(H: str, k: str, M: str) -> cohere.Client:
    return cohere.Client(api_key=k, base_url=H + "/v1")


@client_setup("cohere", dialect="Cohere v2")
def v2(H: str, k: str, M: str) -> cohere.ClientV2:
    return cohere.ClientV2(api_key=k, base_url=H)


@client_setup("cohere", dialect="Cohere v2", note="requests go to `/v1/v2/rerank`")
def v2_below_v1(H: str, k: str, M: str) -> cohere.ClientV2:
    return cohere.ClientV2(api_key=k, base_url=H + "/v1")


@client_setup("cohere", dialect="Cohere v1")
def async_v1(H: str, k: str, M: str) -> cohere.AsyncClient:
    return cohere.AsyncClient(api_key=k, base_url=H)


@client_setup("cohere", dialect="Cohere v2")
def async_v2(H: str, k: str, M: str) -> cohere.AsyncClientV2:
    return cohere.AsyncClientV2(api_key=k, base_url=H)


def ask(client: Any, request: RankRequest) -> list[tuple[int, float]]:
    response = client.rerank(model=request.model, query=request.query, documents=DOCUMENTS, top_n=request.top_n)
    assert response.meta.billed_units.search_units == 1
    assert response.meta.api_version.version == ("2" if isinstance(client, cohere.ClientV2) else "1")
    return [(result.index, result.relevance_score) for result in response.results]


def ask_async(client: Any, request: RankRequest) -> list[tuple[int, float]]:
    response = wait(client.rerank(model=request.model, query=request.query, documents=DOCUMENTS, top_n=request.top_n))
    return [(result.index, result.relevance_score) for result in response.results]


class TestOtherSetups(RankingTests):
    """Other base URLs and other kinds of calls."""

    cases: ClassVar = [
        Case(v1_below_v1, ask, "/v1/v1/rerank", COHERE_ERRORS),
        Case(v2_below_v1, ask, "/v1/v2/rerank", COHERE_ERRORS),
        Case(async_v1, ask_async, "/v1/rerank", COHERE_ERRORS),
    ]


class TestCohere(RetryTests):
    """Clients of the SDK."""

    cases: ClassVar = [
        Case(v1, ask, "/v1/rerank", COHERE_ERRORS, retries=RETRIED),
        Case(v2, ask, "/v2/rerank", COHERE_ERRORS, retries=RETRIED),
        Case(async_v2, ask_async, "/v2/rerank", COHERE_ERRORS, retries=RETRIED),
    ]

    def test_objects_come_back(self, harness: Harness) -> None:
        """v1 has rank_fields and return_documents: objects come back complete, with an unchanged `text`."""
        documents = [{"text": text, "page": str(page)} for page, text in enumerate(DOCUMENTS)]
        response = harness.open(v1).rerank(
            model=MODEL, query=QUERY, documents=documents, rank_fields=["text"], return_documents=True
        )
        expect((result.index, result.relevance_score) for result in response.results)
        first = response.results[0].document
        assert first is not None
        assert first.model_dump() == {"text": DOCUMENTS[1], "page": "1"}

    @pytest.mark.parametrize(("status", "server"), [(429, "overloaded"), (503, "draining")])
    def test_refusal_without_retries(self, harness: Harness, status: int, server: str) -> None:
        """Check the exception without retries."""
        harness.recorder.next(server)
        with pytest.raises(COHERE_ERRORS[status]):
            harness.open(v2).rerank(model=MODEL, query=QUERY, documents=DOCUMENTS, request_options={"max_retries": 0})
