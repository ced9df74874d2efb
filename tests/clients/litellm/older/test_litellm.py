"""A litellm whose requirements no package index satisfies together with the proxy's: its SDK."""

from functools import partial
from typing import Any, ClassVar

import litellm

from clients.cases import DOCUMENTS, Asked, Case, Ranks
from clients.ways import way


@way("litellm", dialect="Together")
def together_ai(H: str, k: str, M: str) -> Any:
    return partial(litellm.rerank, model="together_ai/" + M, api_base=H + "/v1", api_key=k)


@way("litellm", dialect="Cohere v2")
def cohere(H: str, k: str, M: str) -> Any:
    return partial(litellm.rerank, model="cohere/" + M, api_base=H, api_key=k)


def ask(rerank: Any, asked: Asked) -> list[tuple[int, float]]:
    answer = rerank(query=asked.query, documents=DOCUMENTS, top_n=asked.top_n)
    return [(one["index"], one["relevance_score"]) for one in answer.results]


class TestLiteLLM(Ranks):
    """Two of its providers."""

    cases: ClassVar = [Case(together_ai, ask, "/v1/rerank", {}), Case(cohere, ask, "/v2/rerank", {})]
