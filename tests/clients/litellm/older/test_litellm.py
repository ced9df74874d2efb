"""The SDK of a litellm release whose requirements conflict with those of its proxy."""

from functools import partial
from typing import Any, ClassVar

import litellm

from clients.cases import DOCUMENTS, Case, RankingTests, RankRequest
from clients.setups import client_setup


@client_setup("litellm", dialect="Together")
def together_ai(H: str, k: str, M: str) -> Any:
    return partial(litellm.rerank, model="together_ai/" + M, api_base=H + "/v1", api_key=k)


@client_setup("litellm", dialect="Cohere v2")
def cohere(H: str, k: str, M: str) -> Any:
    return partial(litellm.rerank, model="cohere/" + M, api_base=H, api_key=k)


def ask(rerank: Any, request: RankRequest) -> list[tuple[int, float]]:
    response = rerank(query=request.query, documents=DOCUMENTS, top_n=request.top_n)
    return [(result["index"], result["relevance_score"]) for result in response.results]


class TestLiteLLM(RankingTests):
    """Two providers of litellm."""

    cases: ClassVar = [Case(together_ai, ask, "/v1/rerank", {}), Case(cohere, ask, "/v2/rerank", {})]
