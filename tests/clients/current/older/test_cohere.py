"""Older releases of cohere: their parser and where they go."""

from importlib.metadata import version
from typing import Any, ClassVar

import cohere

from clients.cases import DOCUMENTS, Asked, Case, Ranks
from clients.ways import way

RELEASE = tuple(int(part) for part in version("cohere").split(".")[:2])
STRIPS_V1 = (5, 8) <= RELEASE < (5, 13)


@way("cohere", dialect="Cohere v1")
def below_v1(H: str, k: str, M: str) -> cohere.Client:
    return cohere.Client(api_key=k, base_url=H + "/v1")


@way("cohere", dialect="Cohere v1")
def root(H: str, k: str, M: str) -> cohere.Client:
    return cohere.Client(api_key=k, base_url=H)


@way("cohere", dialect="Cohere v2")
def v2(H: str, k: str, M: str) -> Any:
    return cohere.ClientV2(api_key=k, base_url=H)


def ask(client: Any, asked: Asked) -> list[tuple[int, float]]:
    answer = client.rerank(model=asked.model, query=asked.query, documents=DOCUMENTS, top_n=asked.top_n)
    assert answer.meta.billed_units.search_units == 1
    return [(one.index, one.relevance_score) for one in answer.results]


class TestCohere(Ranks):
    """By base URL: before 5.8 it is the API's, then the server's, and for a while `/v1` is taken off it."""

    cases: ClassVar = [
        Case(below_v1, ask, "/v1/rerank" if RELEASE < (5, 8) or STRIPS_V1 else "/v1/v1/rerank", {}),
        Case(root, ask, "/rerank" if RELEASE < (5, 8) else "/v1/rerank", {}),
        *([Case(v2, ask, "/v2/rerank", {})] if RELEASE >= (5, 9) else []),
    ]
