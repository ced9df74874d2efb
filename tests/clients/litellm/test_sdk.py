"""litellm.rerank: all its providers whose host can be set. It never retries by itself."""

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
    413: litellm.APIError,
    429: litellm.RateLimitError,
    500: litellm.InternalServerError,
    503: litellm.ServiceUnavailableError,
}
RAISES_BAD_REQUEST = RAISES | {413: litellm.BadRequestError}
"""For providers whose 413 is a BadRequestError in litellm."""


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


@client_setup("litellm", dialect="Cohere v2", note="or `api_base=H`, for `/v1/rerank`")
def azure_ai(H: str, k: str, M: str) -> Any:
    return partial(litellm.rerank, model="azure_ai/" + M, api_base=H + "/providers/cohere/v2", api_key=k)


@client_setup("litellm", dialect="Bedrock", note="the API key is the session token; the other keys may be any text")
def bedrock(H: str, k: str, M: str) -> Any:
    keys = {"aws_access_key_id": "any", "aws_secret_access_key": "any", "aws_session_token": k}
    return partial(litellm.rerank, model="bedrock/" + M, api_base=H, aws_region_name="us-east-1", **keys)


@client_setup("litellm", dialect="DeepInfra", note="results have the order of the request; no `top_n`")
def deepinfra(H: str, k: str, M: str) -> Any:
    return partial(litellm.rerank, model="deepinfra/" + M, api_base=H + "/v1", api_key=k)


@client_setup("litellm", dialect="Fireworks AI")
def fireworks_ai(H: str, k: str, M: str) -> Any:
    return partial(litellm.rerank, model="fireworks_ai/" + M, api_base=H, api_key=k)


@client_setup("litellm", dialect="NVIDIA", note="scores are logits")
def nvidia_nim(H: str, k: str, M: str) -> Any:
    return partial(litellm.rerank, model="nvidia_nim/" + M, api_base=H, api_key=k)


@client_setup("litellm", dialect="NVIDIA", note="scores are logits; with `/v1/ranking`")
def nvidia_nim_ranking(H: str, k: str, M: str) -> Any:
    return partial(litellm.rerank, model="nvidia_nim/ranking/" + M, api_base=H, api_key=k)


@client_setup("litellm", dialect="watsonx.ai", note="scores are logits; `project_id` may be any text")
def watsonx(H: str, k: str, M: str) -> Any:
    credentials = {"url": H, "apikey": k, "token": k}
    return partial(litellm.rerank, model="watsonx/" + M, watsonx_credentials=credentials, project_id="any")


def ask(rerank: Any, request: RankRequest) -> list[tuple[int, float]]:
    response = rerank(query=request.query, documents=DOCUMENTS, top_n=request.top_n)
    return [(result["index"], result["relevance_score"]) for result in response.results]


def ask_async(rerank: Any, request: RankRequest) -> list[tuple[int, float]]:
    response = wait(rerank(query=request.query, documents=DOCUMENTS, top_n=request.top_n))
    return [(result["index"], result["relevance_score"]) for result in response.results]


def ask_sorted(rerank: Any, request: RankRequest) -> list[tuple[int, float]]:
    """Sort the results, which have the order of the request."""
    return sorted(ask(rerank, request), key=lambda result: -result[1])


class TestLiteLLM(RetryTests):
    """Providers of litellm."""

    cases: ClassVar = [
        Case(together_ai, ask, "/v1/rerank", RAISES),
        Case(cohere, ask, "/v2/rerank", RAISES_BAD_REQUEST),
        Case(jina_ai, ask, "/v1/rerank", RAISES_BAD_REQUEST),
        Case(hosted_vllm, ask, "/rerank", RAISES),
        Case(infinity, ask, "/infinity/rerank", RAISES_BAD_REQUEST),
        Case(voyage, ask, "/v1/rerank", RAISES_BAD_REQUEST),
        Case(litellm_proxy, ask, "/v1/rerank", RAISES),
        Case(asynchronous, ask_async, "/v2/rerank", RAISES_BAD_REQUEST),
        Case(
            huggingface,
            ask,
            "/rerank",
            {status: error for status, error in RAISES.items() if status not in (404, 500)} | {424: litellm.APIError},
            cuts=False,
            failed=424,
        ),
        Case(azure_ai, ask, "/providers/cohere/v2/rerank", RAISES),
        Case(
            bedrock,
            ask,
            "/rerank",
            {status: error for status, error in RAISES_BAD_REQUEST.items() if status != 500}
            | {424: litellm.BadRequestError},
            failed=424,
        ),
        Case(deepinfra, ask_sorted, "/v1/inference/starter", RAISES, cuts=False),
        Case(fireworks_ai, ask, "/inference/v1/rerank", RAISES),
        Case(nvidia_nim, ask, "/v1/retrieval/starter/reranking", RAISES, unit=False),
        Case(nvidia_nim_ranking, ask, "/v1/ranking", RAISES, unit=False),
        Case(watsonx, ask, "/ml/v1/text/rerank?version=2024-03-13", RAISES_BAD_REQUEST, unit=False),
    ]

    def test_bedrock_ranks_objects(self, harness: Harness) -> None:
        """It sends them as JSON documents."""
        documents = [{"title": text, "page": 1} for text in DOCUMENTS]
        response = harness.open(bedrock)(query=QUERY, documents=documents)
        expect((result["index"], result["relevance_score"]) for result in response.results)

    def test_path_has_the_name_that_the_body_changes(self, harness: Harness) -> None:
        """litellm replaces `_` by `.` in the body for NVIDIA, so the path names the model."""
        with pytest.raises(litellm.NotFoundError, match="no_such_model"):
            harness.open(nvidia_nim, M="no_such_model")(query=QUERY, documents=DOCUMENTS)

    @pytest.mark.parametrize("made", [together_ai, cohere, jina_ai, hosted_vllm, infinity, litellm_proxy], ids=str)
    def test_objects(self, harness: Harness, made: ClientSetup[Any]) -> None:
        """litellm sends objects, rank_fields and return_documents for every provider."""
        documents = [{"title": text, "page": "1"} for text in DOCUMENTS]
        response = harness.open(made)(query=QUERY, documents=documents, rank_fields=["title"], return_documents=True)
        expect((result["index"], result["relevance_score"]) for result in response.results)
        assert DOCUMENTS[1] in response.results[0]["document"]["text"]

    @pytest.mark.parametrize(
        "made",
        [together_ai, cohere, jina_ai, hosted_vllm, infinity, voyage, azure_ai, fireworks_ai, nvidia_nim, watsonx],
        ids=str,
    )
    def test_documents_come_back(self, harness: Harness, made: ClientSetup[Any]) -> None:
        """litellm requests the documents by default."""
        response = harness.open(made)(query=QUERY, documents=DOCUMENTS)
        assert [result["document"]["text"] for result in response.results] == [
            DOCUMENTS[result["index"]] for result in response.results
        ]
