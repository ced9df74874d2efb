"""Releases of together before 3: their parser and where they go."""

from typing import Any, ClassVar

import together

from clients.cases import DOCUMENTS, Asked, Case, Ranks
from clients.ways import way


@way("together", dialect="Together")
def below_v1(H: str, k: str, M: str) -> together.Together:
    return together.Together(api_key=k, base_url=H + "/v1")


@way("together", dialect="Together", note="requests go to `/rerank`")
def root(H: str, k: str, M: str) -> together.Together:
    return together.Together(api_key=k, base_url=H)


def ask(client: Any, asked: Asked) -> list[tuple[int, float]]:
    top_n = {} if asked.top_n is None else {"top_n": asked.top_n}
    answer = client.rerank.create(model=asked.model, query=asked.query, documents=DOCUMENTS, **top_n)
    assert answer.usage.total_tokens > 0
    return [(one.index, one.relevance_score) for one in answer.results]


class TestTogether(Ranks):
    """Both base URLs."""

    cases: ClassVar = [Case(below_v1, ask, "/v1/rerank", {}), Case(root, ask, "/rerank", {})]
