"""LangChain's rerankers of Cohere, Jina, Voyage and NVIDIA, and cohere 5.21, its dependency."""

from typing import Any, ClassVar

import cohere
import pytest
from langchain_cohere import CohereRerank
from langchain_community.document_compressors import JinaRerank, jina_rerank
from langchain_core.documents import Document
from langchain_nvidia_ai_endpoints import NVIDIARerank
from langchain_voyageai import VoyageAIRerank

from clients.cases import (
    DOCUMENTS,
    MODEL,
    QUERY,
    RETRIED,
    STATUSES,
    Case,
    RankingTests,
    RankRequest,
    RetryTests,
    expect,
)
from clients.cohere_errors import COHERE_ERRORS
from clients.harness import Harness
from clients.setups import client_setup
from clients.voyage_errors import VOYAGE_ERRORS


@client_setup("cohere", dialect="Cohere v1")
def cohere_v1(H: str, k: str, M: str) -> cohere.Client:
    return cohere.Client(api_key=k, base_url=H)


@client_setup("langchain-cohere", dialect="Cohere v2")
def of_cohere(H: str, k: str, M: str) -> CohereRerank:
    return CohereRerank(model=M, cohere_api_key=k, base_url=H)


@client_setup(
    "langchain-community",
    dialect="Jina",
    note="the URL can be set only by this constant; every error is a RuntimeError with the server's message",
)
def of_jina(H: str, k: str, M: str) -> JinaRerank:
    jina_rerank.JINA_API_URL = H + "/v1/rerank"
    return JinaRerank(model=M, jina_api_key=k)


@client_setup("langchain-voyageai", dialect="Voyage")
def of_voyage(H: str, k: str, M: str) -> VoyageAIRerank:
    return VoyageAIRerank(model=M, voyage_api_key=k, base_url=H + "/v1")


@client_setup("langchain-nvidia-ai-endpoints", dialect="NVIDIA", note="scores are logits; every error is an Exception")
def of_nvidia(H: str, k: str, M: str) -> NVIDIARerank:
    return NVIDIARerank(model=M, base_url=H + "/v1", api_key=k)


def ask_sdk(client: Any, request: RankRequest) -> list[tuple[int, float]]:
    response = client.rerank(model=request.model, query=request.query, documents=DOCUMENTS, top_n=request.top_n)
    return [(result.index, result.relevance_score) for result in response.results]


def ask(reranker: CohereRerank | JinaRerank, request: RankRequest) -> list[tuple[int, float]]:
    response = reranker.rerank(DOCUMENTS, request.query, model=request.model, top_n=request.top_n)
    return [(result["index"], result["relevance_score"]) for result in response]


def compressed(compressor: Any, request: RankRequest) -> list[tuple[int, float]]:
    """Rank by the interface of all compressors, which keeps the metadata of documents."""
    documents = [Document(text, metadata={"index": index}) for index, text in enumerate(DOCUMENTS)]
    response = compressor.compress_documents(documents, request.query)
    return [(result.metadata["index"], result.metadata["relevance_score"]) for result in response]


def ask_voyage(compressor: VoyageAIRerank, request: RankRequest) -> list[tuple[int, float]]:
    compressor.top_k = request.top_n
    return compressed(compressor, request)


def ask_nvidia(compressor: NVIDIARerank, request: RankRequest) -> list[tuple[int, float]]:
    compressor.top_n = request.top_n or len(DOCUMENTS)
    return compressed(compressor, request)


class TestLangChain(RetryTests):
    """Rerankers of LangChain."""

    cases: ClassVar = [
        Case(of_cohere, ask, "/v2/rerank", COHERE_ERRORS, retries=RETRIED),
        Case(of_jina, ask, "/v1/rerank", dict.fromkeys(STATUSES, RuntimeError)),
        Case(of_voyage, ask_voyage, "/v1/rerank", VOYAGE_ERRORS),
        Case(of_nvidia, ask_nvidia, "/v1/ranking", dict.fromkeys(STATUSES, Exception), unit=False),
    ]

    @pytest.mark.parametrize("made", [of_cohere, of_jina], ids=str)
    def test_it_compresses(self, harness: Harness, made: Any) -> None:
        """Documents keep their metadata; three are returned by default."""
        expect(compressed(harness.open(made), RankRequest()))

    def test_fields_of_objects(self, harness: Harness) -> None:
        """LangChain's Cohere sends objects as YAML."""
        documents = [{"title": text, "page": page} for page, text in enumerate(DOCUMENTS)]
        response = harness.open(of_cohere).rerank(documents, QUERY, rank_fields=["title"], model=MODEL)
        expect((result["index"], result["relevance_score"]) for result in response)


class TestCohere(RankingTests):
    """The Cohere SDK that it depends on."""

    cases: ClassVar = [Case(cohere_v1, ask_sdk, "/v1/rerank", COHERE_ERRORS)]
