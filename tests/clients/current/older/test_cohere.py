"""Older releases of cohere: their parser and the path of their requests."""

from importlib.metadata import version
from typing import Any, ClassVar

import cohere

from clients.cases import DOCUMENTS, Case, RankingTests, RankRequest
from clients.setups import client_setup

RELEASE = tuple(int(part) for part in version("cohere").split(".")[:2])
STRIPS_V1 = (5, 8) <= RELEASE < (5, 13)


@client_setup("cohere", dialect="Cohere v1")
def below_v1(H: str, k: str, M: str) -> cohere.Client:
    return cohere.Client(api_key=k, base_url=H + "/v1")


@client_setup("cohere", dialect="Cohere v1")
def root(H: str, k: str, M: str) -> cohere.Client:
    return cohere.Client(api_key=k, base_url=H)


@client_setup("cohere", dialect="Cohere v2")
def v2(H: str, k: str, M: str) -> Any:
    return cohere.ClientV2(api_key=k, base_url=H)


def ask(client: Any, request: RankRequest) -> list[tuple[int, float]]:
    response = client.rerank(model=request.model, query=request.query, documents=DOCUMENTS, top_n=request.top_n)
    assert response.meta.billed_units.search_units == 1
    return [(result.index, result.relevance_score) for result in response.results]


class TestCohere(RankingTests):
    """Base URLs: before 5.8 the API's, later the server's. Some releases remove `/v1` from it."""

    cases: ClassVar = [
        Case(below_v1, ask, "/v1/rerank" if RELEASE < (5, 8) or STRIPS_V1 else "/v1/v1/rerank", {}),
        Case(root, ask, "/rerank" if RELEASE < (5, 8) else "/v1/rerank", {}),
        *([Case(v2, ask, "/v2/rerank", {})] if RELEASE >= (5, 9) else []),
    ]
