"""Open WebUI, Dify and RAGFlow: their calls, replayed from their sources, and the fields that they read."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import requests

from clients.cases import DOCUMENTS, MODEL, QUERY, Case, RankingTests, RankRequest, expect
from clients.harness import Harness
from clients.setups import client_setup

Ask = Callable[["Settings", RankRequest], list[tuple[int, float]]]


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of the application."""

    url: str
    key: str


def post(settings: Settings, body: dict[str, Any]) -> Any:
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {settings.key}"}
    answer = requests.post(settings.url, headers=headers, json=body, timeout=60)
    answer.raise_for_status()
    return answer.json()


def results(answer: Any) -> list[tuple[int, float]]:
    return [(one["index"], one["relevance_score"]) for one in answer["results"]]


@client_setup("Open WebUI", package="", dialect="Cohere v1", note="sets `top_n` to the number of documents")
def open_webui(H: str, k: str, M: str) -> Settings:
    return Settings(url=H + "/v1/rerank", key=k)


def ask_open_webui(settings: Settings, request: RankRequest) -> list[tuple[int, float]]:
    """Open WebUI reads scores by position, after sorting by index."""
    top_n = len(DOCUMENTS)
    answer = post(settings, {"model": request.model, "query": request.query, "documents": DOCUMENTS, "top_n": top_n})
    scores = [one["relevance_score"] for one in sorted(answer["results"], key=lambda one: one["index"])]
    assert len(scores) == top_n
    return sorted(enumerate(scores), key=lambda one: -one[1])


@client_setup(
    "Dify, OpenAI-compatible", package="", dialect="Jina", note="rescales the scores: lowest to 0, highest to 1"
)
def dify(H: str, k: str, M: str) -> Settings:
    return Settings(url=H + "/v1/rerank", key=k)


def ask_dify(settings: Settings, request: RankRequest) -> list[tuple[int, float]]:
    answer = post(
        settings,
        {
            "model": request.model,
            "query": request.query,
            "documents": DOCUMENTS,
            "top_n": request.top_n,
            "return_documents": True,
        },
    )
    for one in answer["results"]:
        document = one.get("document", {})
        assert (document if isinstance(document, str) else document.get("text")) == DOCUMENTS[one["index"]]
    return results(answer)


@client_setup("Dify, LocalAI and GPUStack", package="", dialect="Jina")
def dify_localai(H: str, k: str, M: str) -> Settings:
    return Settings(url=H + "/rerank", key=k)


def ask_dify_localai(settings: Settings, request: RankRequest) -> list[tuple[int, float]]:
    """Dify reads the text of every document."""
    answer = post(
        settings,
        {
            "model": request.model,
            "query": request.query,
            "documents": DOCUMENTS,
            "top_n": request.top_n or len(DOCUMENTS),
        },
    )
    assert all("document" not in one or one["document"]["text"] for one in answer["results"])
    return results(answer)


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
    answer = post(settings, body)
    assert [one["document"] for one in answer["data"]] == [DOCUMENTS[one["index"]] for one in answer["data"]]
    return [(one["index"], one["relevance_score"]) for one in answer["data"]]


@client_setup("Dify, TEI", package="", dialect="TEI", note="requests `/info` first")
def dify_tei(H: str, k: str, M: str) -> Settings:
    return Settings(url=H + "/rerank", key=k)


def ask_dify_tei(settings: Settings, request: RankRequest) -> list[tuple[int, float]]:
    info = requests.get(
        settings.url.replace("/rerank", "/info"), headers={"Authorization": f"Bearer {settings.key}"}, timeout=60
    )
    assert next(iter(info.json()["model_type"])) == "reranker"
    assert info.json()["max_input_length"] > 0
    answer = post(settings, {"query": request.query, "texts": DOCUMENTS, "return_text": True})
    assert [one["text"] for one in answer] == [DOCUMENTS[one["index"]] for one in answer]
    return [(one["index"], one["score"]) for one in answer]


@client_setup("Dify, Ollama", package="", dialect="Jina")
def dify_ollama(H: str, k: str, M: str) -> Settings:
    return Settings(url=H + "/api/rerank", key=k)


@client_setup("RAGFlow, Jina", package="", dialect="Jina")
def ragflow_jina(H: str, k: str, M: str) -> Settings:
    return Settings(url=H + "/v1/rerank", key=k)


def ask_ragflow(settings: Settings, request: RankRequest) -> list[tuple[int, float]]:
    top_n = request.top_n or len(DOCUMENTS)
    answer = post(settings, {"model": request.model, "query": request.query, "documents": DOCUMENTS, "top_n": top_n})
    assert answer["usage"]["total_tokens"] > 0
    return results(answer)


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
    return [(one["index"], one["logit"]) for one in post(settings, body)["rankings"]]


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
        answer = requests.post(harness.open(ragflow_xinference).url, json=body, timeout=60).json()
        expect(results(answer))
        assert [one["document"]["text"] for one in answer["results"]] == [
            DOCUMENTS[one["index"]] for one in answer["results"]
        ]
        assert answer["meta"]["tokens"]["input_tokens"] > 0
