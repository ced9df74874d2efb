"""voyageai: blocking and asynchronous. It retries only if configured, with its own delays."""

from typing import ClassVar

import voyageai

from clients.cases import DOCUMENTS, Case, RankRequest, RetryTests, wait
from clients.setups import client_setup
from clients.voyage_errors import VOYAGE_ERRORS


@client_setup("voyageai", dialect="Voyage")
def blocking(H: str, k: str, M: str) -> voyageai.Client:
    return voyageai.Client(api_key=k, base_url=H + "/v1")


@client_setup("voyageai", dialect="Voyage")
def asynchronous(H: str, k: str, M: str) -> voyageai.AsyncClient:
    return voyageai.AsyncClient(api_key=k, base_url=H + "/v1")


def ask(client: voyageai.Client | voyageai.AsyncClient, request: RankRequest) -> list[tuple[int, float]]:
    called = client.rerank(request.query, DOCUMENTS, model=request.model, top_k=request.top_n)
    response = wait(called) if isinstance(client, voyageai.AsyncClient) else called
    assert response.total_tokens > 0
    assert [result.document for result in response.results] == [DOCUMENTS[result.index] for result in response.results]
    return [(result.index, result.relevance_score) for result in response.results]


class TestVoyage(RetryTests):
    """Clients of the SDK."""

    cases: ClassVar = [
        Case(blocking, ask, "/v1/rerank", VOYAGE_ERRORS),
        Case(asynchronous, ask, "/v1/rerank", VOYAGE_ERRORS),
    ]
