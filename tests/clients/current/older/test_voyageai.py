"""Releases of voyageai before 0.5: an error body with an `error` object raises AttributeError in them."""

from typing import ClassVar

import voyageai
from voyageai import error

from clients.cases import DOCUMENTS, Case, ErrorTests, RankRequest
from clients.setups import client_setup


@client_setup("voyageai", dialect="Voyage")
def client(H: str, k: str, M: str) -> voyageai.Client:
    return voyageai.Client(api_key=k, base_url=H + "/v1")


def ask(client: voyageai.Client, request: RankRequest) -> list[tuple[int, float]]:
    response = client.rerank(request.query, DOCUMENTS, model=request.model, top_k=request.top_n)
    assert response.total_tokens > 0
    return [(result.index, result.relevance_score) for result in response.results]


class TestVoyage(ErrorTests):
    """Results and errors."""

    cases: ClassVar = [
        Case(
            client,
            ask,
            "/v1/rerank",
            {400: error.InvalidRequestError, 401: error.AuthenticationError, 404: error.APIError},
        )
    ]
