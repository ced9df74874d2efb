"""Releases of together before 3: their parser and the path of their requests."""

from typing import Any, ClassVar

import together

from clients.cases import DOCUMENTS, Case, RankingTests, RankRequest
from clients.setups import client_setup


@client_setup("together", dialect="Together")
def below_v1(H: str, k: str, M: str) -> together.Together:
    return together.Together(api_key=k, base_url=H + "/v1")


@client_setup("together", dialect="Together", note="requests go to `/rerank`")
def root(H: str, k: str, M: str) -> together.Together:
    return together.Together(api_key=k, base_url=H)


def ask(client: Any, request: RankRequest) -> list[tuple[int, float]]:
    top_n = {} if request.top_n is None else {"top_n": request.top_n}
    response = client.rerank.create(model=request.model, query=request.query, documents=DOCUMENTS, **top_n)
    assert response.usage.total_tokens > 0
    return [(result.index, result.relevance_score) for result in response.results]


class TestTogether(RankingTests):
    """Both base URLs."""

    cases: ClassVar = [Case(below_v1, ask, "/v1/rerank", {}), Case(root, ask, "/rerank", {})]
