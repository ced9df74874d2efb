"""Open WebUI, Dify and RAGFlow: their calls, replayed from their sources, and the fields that they read."""

from dataclasses import dataclass
from typing import Any, ClassVar

import requests

from clients.cases import DOCUMENTS, MODEL, QUERY, Case, RankingTests, RankRequest, expect
from clients.harness import Harness
from clients.setups import client_setup


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of the application."""

    url: str
    key: str


def post(settings: Settings, body: dict[str, Any]) -> Any:
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {settings.key}"}
    response = requests.post(settings.url, headers=headers, json=body, timeout=60)
    response.raise_for_status()
    return response.json()


def results(response: Any) -> list[tuple[int, float]]:
    return [(result["index"], result["relevance_score"]) for result in response["results"]]


@client_setup("Open WebUI", package="", dialect="Cohere v1", note="sets `top_n` to the number of documents")
def open_webui(H: str, k: str, M: str) -> Settings:
    return Settings(url=H + "/v1/rerank", key=k)


def ask_open_webui(settings: Settings, request: RankRequest) -> list[tuple[int, float]]:
    """Open WebUI reads scores by position, after sorting by index."""
    top_n = len(DOCUMENTS)
    response = post(settings, {"model": request.model, "query": request.query, "documents": DOCUMENTS, "top_n": top_n})
    scores = [result["relevance_score"] for result in sorted(response["results"], key=lambda result: result["index"])]
    assert len(scores) == top_n
    return sorted(enumerate(scores), key=lambda result: -result[1])


@client_setup(
    "Dify, OpenAI-compatible", package="", dialect="Jina", note="rescales the scores: lowest to 0, highest to 1"
)
def dify(H: str, k: str, M: str) -> Settings:
    return Settings(url=H + "/v1/rerank", key=k)


def ask_dify(settings: Settings, request: RankRequest) -> list[tuple[int, float]]:
    response = post(
        settings,
        {
            "model": request.model,
            "query": request.query,
            "documents": DOCUMENTS,
            "top_n": request.top_n,
            "return_documents": True,
        },
    )
    for result in response["results"]:
        document = result.get("document", {})
        assert (document if isinstance(document, str) else document.get("text")) == DOCUMENTS[result["index"]]
    return results(response)


@client_setup("Dify, LocalAI and GPUStack", package="", dialect="Jina")
def dify_localai(H: str, k: str, M: str) -> Settings:
    return Settings(url=H + "/rerank", key=k)


def ask_dify_localai(settings: Settings, request: RankRequest) -> list[tuple[int, float]]:
    """Dify reads the text of every document."""
    response = post(
        settings,
        {
            "model": request.model,
            "query": request.query,
            "documents": DOCUMENTS,
            "top_n": request.top_n or len(DOCUMENTS),
        },
    )
    assert all("document" not in result or result["document"]["text"] for result in response["results"])
    return results(response)


@client_setup("Dify, Voyage", package="", dialect="Voyage")
def dify_voyage(H: str, k: str, M: str) -> Settings:
    return Settings(url=H + "/v1/rerank", key=k)


def ask_dify_voyage(settings: Settings, request: RankRequest) -> list[tuple[int, float]]:
    top_k = request.top_n or len(DOCUMENTS)
    body = {
        "model": request.model,
        "query": request.query,
        "documents": DOCUMENTS,
        "top_k": top_k,
        "return_documents": True,
    }
    response = post(settings, body)
    assert [result["document"] for result in response["data"]] == [
        DOCUMENTS[result["index"]] for result in response["data"]
    ]
    return [(result["index"], result["relevance_score"]) for result in response["data"]]


@client_setup("Dify, TEI", package="", dialect="TEI", note="requests `/info` first")
def dify_tei(H: str, k: str, M: str) -> Settings:
    return Settings(url=H + "/rerank", key=k)


def ask_dify_tei(settings: Settings, request: RankRequest) -> list[tuple[int, float]]:
    info = requests.get(
        settings.url.replace("/rerank", "/info"), headers={"Authorization": f"Bearer {settings.key}"}, timeout=60
    )
    assert next(iter(info.json()["model_type"])) == "reranker"
    assert info.json()["max_input_length"] > 0
    response = post(settings, {"query": request.query, "texts": DOCUMENTS, "return_text": True})
    assert [result["text"] for result in response] == [DOCUMENTS[result["index"]] for result in response]
    return [(result["index"], result["score"]) for result in response]


@client_setup("Dify, Ollama", package="", dialect="Jina")
def dify_ollama(H: str, k: str, M: str) -> Settings:
    return Settings(url=H + "/api/rerank", key=k)


@client_setup("RAGFlow, Jina", package="", dialect="Jina")
def ragflow_jina(H: str, k: str, M: str) -> Settings:
    return Settings(url=H + "/v1/rerank", key=k)


def ask_ragflow(settings: Settings, request: RankRequest) -> list[tuple[int, float]]:
    top_n = request.top_n or len(DOCUMENTS)
    response = post(settings, {"model": request.model, "query": request.query, "documents": DOCUMENTS, "top_n": top_n})
    assert response["usage"]["total_tokens"] > 0
    return results(response)


@client_setup("RAGFlow, LocalAI", package="", dialect="Jina")
def ragflow_localai(H: str, k: str, M: str) -> Settings:
    return Settings(url=H + "/rerank", key=k)


@client_setup("RAGFlow, SiliconFlow", package="", dialect="SiliconFlow")
def ragflow_siliconflow(H: str, k: str, M: str) -> Settings:
    return Settings(url=H + "/v1/rerank", key=k)


def ask_ragflow_siliconflow(settings: Settings, request: RankRequest) -> list[tuple[int, float]]:
    return results(
        post(
            settings,
            {
                "model": request.model,
                "query": request.query,
                "documents": DOCUMENTS,
                "top_n": request.top_n or len(DOCUMENTS),
                "return_documents": False,
                "max_chunks_per_doc": 1024,
                "overlap_tokens": 80,
            },
        )
    )


@client_setup("RAGFlow, NVIDIA", package="", dialect="NVIDIA", note="scores are logits")
def ragflow_nvidia(H: str, k: str, M: str) -> Settings:
    return Settings(url=H + "/v1/reranking", key=k)


@client_setup("RAGFlow, NVIDIA", package="", dialect="NVIDIA", note="scores are logits")
def ragflow_nvidia_mistral(H: str, k: str, M: str) -> Settings:
    return Settings(url=H + "/nv-rerankqa-mistral-4b-v3/reranking", key=k)


def ask_ragflow_nvidia(settings: Settings, request: RankRequest) -> list[tuple[int, float]]:
    passages = [{"text": text} for text in DOCUMENTS]
    body = {
        "model": request.model,
        "query": {"text": request.query},
        "passages": passages,
        "truncate": "END",
        "top_n": 3,
    }
    return [(result["index"], result["logit"]) for result in post(settings, body)["rankings"]]


@client_setup(
    "RAGFlow, Xinference", package="", dialect="Xinference", note="sends booleans as words; older releases send no key"
)
def ragflow_xinference(H: str, k: str, M: str) -> Settings:
    return Settings(url=H + "/v1/rerank", key=k)


class TestApplications(RankingTests):
    """Calls of the applications."""

    cases: ClassVar = [
        Case(open_webui, ask_open_webui, "/v1/rerank", {}, cuts=False),
        Case(dify, ask_dify, "/v1/rerank", {}),
        Case(dify_localai, ask_dify_localai, "/rerank", {}),
        Case(dify_voyage, ask_dify_voyage, "/v1/rerank", {}),
        Case(dify_tei, ask_dify_tei, "/rerank", {}, cuts=False),
        Case(dify_ollama, ask_dify, "/api/rerank", {}),
        Case(ragflow_jina, ask_ragflow, "/v1/rerank", {}),
        Case(ragflow_localai, ask_ragflow, "/rerank", {}),
        Case(ragflow_siliconflow, ask_ragflow_siliconflow, "/v1/rerank", {}),
        Case(ragflow_nvidia, ask_ragflow_nvidia, "/v1/reranking", {}, cuts=False, unit=False),
        Case(
            ragflow_nvidia_mistral,
            ask_ragflow_nvidia,
            "/nv-rerankqa-mistral-4b-v3/reranking",
            {},
            cuts=False,
            unit=False,
        ),
    ]

    def test_ragflow_xinference(self, harness: Harness) -> None:
        """It sends no key, so the server has none. It sends "true" as a string."""
        harness.recorder.next("open")
        body = {
            "model": MODEL,
            "query": QUERY,
            "return_documents": "true",
            "return_len": "true",
            "documents": DOCUMENTS,
        }
        response = requests.post(harness.open(ragflow_xinference).url, json=body, timeout=60).json()
        expect(results(response))
        assert [result["document"]["text"] for result in response["results"]] == [
            DOCUMENTS[result["index"]] for result in response["results"]
        ]
        assert response["meta"]["tokens"]["input_tokens"] > 0
