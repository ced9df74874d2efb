"""Releases of voyageai before 0.5: an error whose body has an `error` object would be an AttributeError in them."""

from typing import ClassVar

import voyageai
from voyageai import error

from clients.cases import DOCUMENTS, Asked, Case, Errors
from clients.ways import way


@way("voyageai", dialect="Voyage")
def client(H: str, k: str, M: str) -> voyageai.Client:
    return voyageai.Client(api_key=k, base_url=H + "/v1")


def ask(client: voyageai.Client, asked: Asked) -> list[tuple[int, float]]:
    answer = client.rerank(asked.query, DOCUMENTS, model=asked.model, top_k=asked.top_n)
    assert answer.total_tokens > 0
    return [(one.index, one.relevance_score) for one in answer.results]


class TestVoyage(Errors):
    """Errors too."""

    cases: ClassVar = [
        Case(
            client,
            ask,
            "/v1/rerank",
            {400: error.InvalidRequestError, 401: error.AuthenticationError, 404: error.APIError},
        )
    ]
