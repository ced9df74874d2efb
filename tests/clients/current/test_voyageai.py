"""voyageai: blocking and asynchronous. It tries again only if asked to, and then after waits of its own."""

from typing import ClassVar

import voyageai
from voyageai import error

from clients.cases import DOCUMENTS, Asked, Case, Checks, wait
from clients.ways import way

RAISES = {
    400: error.InvalidRequestError,
    401: error.AuthenticationError,
    404: error.APIError,
    429: error.RateLimitError,
    503: error.ServiceUnavailableError,
}


@way("voyageai", dialect="Voyage")
def blocking(H: str, k: str, M: str) -> voyageai.Client:
    return voyageai.Client(api_key=k, base_url=H + "/v1")


@way("voyageai", dialect="Voyage")
def asynchronous(H: str, k: str, M: str) -> voyageai.AsyncClient:
    return voyageai.AsyncClient(api_key=k, base_url=H + "/v1")


def ask(client: voyageai.Client | voyageai.AsyncClient, asked: Asked) -> list[tuple[int, float]]:
    called = client.rerank(asked.query, DOCUMENTS, model=asked.model, top_k=asked.top_n)
    answer = wait(called) if isinstance(client, voyageai.AsyncClient) else called
    assert answer.total_tokens > 0
    assert [one.document for one in answer.results] == [DOCUMENTS[one.index] for one in answer.results]
    return [(one.index, one.relevance_score) for one in answer.results]


class TestVoyage(Checks):
    """The SDK."""

    cases: ClassVar = [
        Case(blocking, ask, "/v1/rerank", RAISES),
        Case(asynchronous, ask, "/v1/rerank", RAISES),
    ]
