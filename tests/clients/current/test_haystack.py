"""Haystack's rankers for Cohere and Jina."""

from typing import Any, ClassVar

from haystack import Document
from haystack.utils import Secret
from haystack_integrations.components.rankers.cohere import CohereRanker
from haystack_integrations.components.rankers.jina import JinaRanker

from clients.cases import DOCUMENTS, RETRIED, STATUSES, Case, RankRequest, RetryTests
from clients.cohere_errors import COHERE_ERRORS
from clients.setups import client_setup


@client_setup("cohere-haystack", dialect="Cohere v2")
def of_cohere(H: str, k: str, M: str) -> CohereRanker:
    return CohereRanker(model=M, api_key=Secret.from_token(k), api_base_url=H)


@client_setup("jina-haystack", dialect="Jina", note="every error is a RuntimeError with the server's message")
def of_jina(H: str, k: str, M: str) -> JinaRanker:
    return JinaRanker(model=M, api_key=Secret.from_token(k), base_url=H + "/v1/rerank")


def ask(ranker: Any, request: RankRequest) -> list[tuple[int, float]]:
    documents = [Document(id=str(index), content=text) for index, text in enumerate(DOCUMENTS)]
    response = ranker.run(query=request.query, documents=documents, top_k=request.top_n or len(documents))
    if isinstance(ranker, JinaRanker):
        assert response["meta"]["usage"]["total_tokens"] > 0
    return [(int(result.id), result.score) for result in response["documents"]]


class TestHaystack(RetryTests):
    """Both rankers."""

    cases: ClassVar = [
        Case(of_cohere, ask, "/v2/rerank", COHERE_ERRORS, retries=RETRIED),
        Case(of_jina, ask, "/v1/rerank", dict.fromkeys(STATUSES, RuntimeError)),
    ]
