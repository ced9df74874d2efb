"""rerankers: its API providers. It ignores the status: an error response raises KeyError for a missing field, or
TypeError for a missing list."""

from typing import ClassVar

from rerankers.models.api_rankers import APIRanker

from clients.cases import DOCUMENTS, STATUSES, Case, RankRequest, RetryTests
from clients.setups import client_setup

NOTE = "does not check the status: every error is a {}"


@client_setup("rerankers", dialect="Cohere v1", note=NOTE.format("KeyError"))
def cohere(H: str, k: str, M: str) -> APIRanker:
    return APIRanker(M, k, "cohere", url=H + "/v1/rerank")


@client_setup("rerankers", dialect="Jina", note=NOTE.format("KeyError"))
def jina(H: str, k: str, M: str) -> APIRanker:
    return APIRanker(M, k, "jina", url=H + "/v1/rerank")


@client_setup("rerankers", dialect="Voyage", note=NOTE.format("KeyError"))
def voyage(H: str, k: str, M: str) -> APIRanker:
    return APIRanker(M, k, "voyage", url=H + "/v1/rerank")


@client_setup("rerankers", dialect="mixedbread", note=NOTE.format("KeyError"))
def mixedbread(H: str, k: str, M: str) -> APIRanker:
    return APIRanker(M, k, "mixedbread.ai", url=H + "/v1/reranking")


@client_setup("rerankers", dialect="TEI", note=NOTE.format("TypeError"))
def tei(H: str, k: str, M: str) -> APIRanker:
    return APIRanker(M, k, "text-embeddings-inference", url=H + "/rerank")


def ask(ranker: APIRanker, request: RankRequest) -> list[tuple[int, float]]:
    ranked = ranker.rank(request.query, DOCUMENTS)
    assert [result.text for result in ranked.results] == [DOCUMENTS[result.doc_id] for result in ranked.results]
    return [(result.doc_id, result.score) for result in ranked.results]


class TestRerankers(RetryTests):
    """Every provider with a dialect of this server."""

    cases: ClassVar = [
        Case(provider, ask, path, dict.fromkeys((*STATUSES, failed), error), cuts=False, failed=failed)
        for provider, path, error, failed in (
            (cohere, "/v1/rerank", KeyError, 500),
            (jina, "/v1/rerank", KeyError, 500),
            (voyage, "/v1/rerank", KeyError, 500),
            (mixedbread, "/v1/reranking", KeyError, 500),
            (tei, "/rerank", TypeError, 424),
        )
    ]
