"""litellm.rerank: all its providers that work with a self-hosted server. It never retries by itself."""

from functools import partial
from typing import Any, ClassVar

import litellm
import pytest

from clients.cases import DOCUMENTS, QUERY, Case, RankRequest, RetryTests, expect, wait
from clients.harness import Harness
from clients.setups import ClientSetup, client_setup

RAISES = {
    400: litellm.BadRequestError,
    401: litellm.AuthenticationError,
    404: litellm.NotFoundError,
    429: litellm.RateLimitError,
    503: litellm.ServiceUnavailableError,
}


@client_setup("litellm", dialect="Together")
def together_ai(H: str, k: str, M: str) -> Any:
    return partial(litellm.rerank, model="together_ai/" + M, api_base=H + "/v1", api_key=k)


@client_setup("litellm", dialect="Cohere v2")
def cohere(H: str, k: str, M: str) -> Any:
    return partial(litellm.rerank, model="cohere/" + M, api_base=H, api_key=k)


@client_setup("litellm", dialect="Jina")
def jina_ai(H: str, k: str, M: str) -> Any:
    return partial(litellm.rerank, model="jina_ai/" + M, api_base=H, api_key=k)


@client_setup("litellm", dialect="vLLM")
def hosted_vllm(H: str, k: str, M: str) -> Any:
    return partial(litellm.rerank, model="hosted_vllm/" + M, api_base=H, api_key=k)


@client_setup("litellm", dialect="Infinity", note="has its own path, because its parser requires documents as strings")
def infinity(H: str, k: str, M: str) -> Any:
    return partial(litellm.rerank, model="infinity/" + M, api_base=H + "/infinity", api_key=k)


@client_setup("litellm", dialect="TEI", note="sends no model and no `top_n`")
def huggingface(H: str, k: str, M: str) -> Any:
    return partial(litellm.rerank, model="huggingface/" + M, api_base=H, api_key=k)


@client_setup("litellm", dialect="Voyage")
def voyage(H: str, k: str, M: str) -> Any:
    return partial(litellm.rerank, model="voyage/" + M, api_base=H + "/v1", api_key=k)


@client_setup("litellm", dialect="Cohere v1")
def litellm_proxy(H: str, k: str, M: str) -> Any:
    return partial(litellm.rerank, model="litellm_proxy/" + M, api_base=H, api_key=k)


@client_setup("litellm", dialect="Cohere v2")
def asynchronous(H: str, k: str, M: str) -> Any:
    return partial(litellm.arerank, model="cohere/" + M, api_base=H, api_key=k)


def ask(rerank: Any, request: RankRequest) -> list[tuple[int, float]]:
    response = rerank(query=request.query, documents=DOCUMENTS, top_n=request.top_n)
    return [(result["index"], result["relevance_score"]) for result in response.results]


def ask_async(rerank: Any, request: RankRequest) -> list[tuple[int, float]]:
    response = wait(rerank(query=request.query, documents=DOCUMENTS, top_n=request.top_n))
    return [(result["index"], result["relevance_score"]) for result in response.results]


class TestLiteLLM(RetryTests):
    """Providers of litellm."""

    cases: ClassVar = [
        Case(together_ai, ask, "/v1/rerank", RAISES),
        Case(cohere, ask, "/v2/rerank", RAISES),
        Case(jina_ai, ask, "/v1/rerank", RAISES),
        Case(hosted_vllm, ask, "/rerank", RAISES),
        Case(infinity, ask, "/infinity/rerank", RAISES),
        Case(voyage, ask, "/v1/rerank", RAISES),
        Case(litellm_proxy, ask, "/v1/rerank", RAISES),
        Case(asynchronous, ask_async, "/v2/rerank", RAISES),
        Case(
            huggingface,
            ask,
            "/rerank",
            {status: error for status, error in RAISES.items() if status != 404},
            cuts=False,
        ),
    ]

    @pytest.mark.parametrize("made", [together_ai, cohere, jina_ai, hosted_vllm, infinity, litellm_proxy], ids=str)
    def test_objects(self, harness: Harness, made: ClientSetup[Any]) -> None:
        """litellm sends objects, rank_fields and return_documents for every provider."""
        documents = [{"title": text, "page": "1"} for text in DOCUMENTS]
        response = harness.open(made)(query=QUERY, documents=documents, rank_fields=["title"], return_documents=True)
        expect((result["index"], result["relevance_score"]) for result in response.results)
        assert DOCUMENTS[1] in response.results[0]["document"]["text"]

    @pytest.mark.parametrize("made", [together_ai, cohere, jina_ai, hosted_vllm, infinity, voyage], ids=str)
    def test_documents_come_back(self, harness: Harness, made: ClientSetup[Any]) -> None:
        """litellm requests the documents by default."""
        response = harness.open(made)(query=QUERY, documents=DOCUMENTS)
        assert [result["document"]["text"] for result in response.results] == [
            DOCUMENTS[result["index"]] for result in response.results
        ]
