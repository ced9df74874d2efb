"""The calls of Open WebUI, Dify and RAGFlow, replayed as their sources make them, with what they read of an answer."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import requests

from clients.cases import DOCUMENTS, MODEL, QUERY, Asked, Case, Ranks, expect
from clients.ground import Ground
from clients.ways import way

Ask = Callable[["Settings", Asked], list[tuple[int, float]]]


@dataclass(frozen=True, slots=True)
class Settings:
    """What the application is given in its settings."""

    url: str
    key: str


def post(settings: Settings, body: dict[str, Any]) -> Any:
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {settings.key}"}
    answer = requests.post(settings.url, headers=headers, json=body, timeout=60)
    answer.raise_for_status()
    return answer.json()


def results(answer: Any) -> list[tuple[int, float]]:
    return [(one["index"], one["relevance_score"]) for one in answer["results"]]


@way("Open WebUI", package="", dialect="Cohere v1", note="sets `top_n` to the number of documents")
def open_webui(H: str, k: str, M: str) -> Settings:
    return Settings(url=H + "/v1/rerank", key=k)


def ask_open_webui(settings: Settings, asked: Asked) -> list[tuple[int, float]]:
    """It takes scores by position, once sorted by index."""
    top_n = len(DOCUMENTS)
    answer = post(settings, {"model": asked.model, "query": asked.query, "documents": DOCUMENTS, "top_n": top_n})
    scores = [one["relevance_score"] for one in sorted(answer["results"], key=lambda one: one["index"])]
    assert len(scores) == top_n
    return sorted(enumerate(scores), key=lambda one: -one[1])


@way("Dify, OpenAI-compatible", package="", dialect="Jina", note="rescales the scores: lowest to 0, highest to 1")
def dify(H: str, k: str, M: str) -> Settings:
    return Settings(url=H + "/v1/rerank", key=k)


def ask_dify(settings: Settings, asked: Asked) -> list[tuple[int, float]]:
    answer = post(
        settings,
        {
            "model": asked.model,
            "query": asked.query,
            "documents": DOCUMENTS,
            "top_n": asked.top_n,
            "return_documents": True,
        },
    )
    for one in answer["results"]:
        document = one.get("document", {})
        assert (document if isinstance(document, str) else document.get("text")) == DOCUMENTS[one["index"]]
    return results(answer)


@way("Dify, LocalAI and GPUStack", package="", dialect="Jina")
def dify_localai(H: str, k: str, M: str) -> Settings:
    return Settings(url=H + "/rerank", key=k)


def ask_dify_localai(settings: Settings, asked: Asked) -> list[tuple[int, float]]:
    """The text is read wherever there is a document at all."""
    answer = post(
        settings,
        {"model": asked.model, "query": asked.query, "documents": DOCUMENTS, "top_n": asked.top_n or len(DOCUMENTS)},
    )
    assert all("document" not in one or one["document"]["text"] for one in answer["results"])
    return results(answer)


@way("Dify, Voyage", package="", dialect="Voyage")
def dify_voyage(H: str, k: str, M: str) -> Settings:
    return Settings(url=H + "/v1/rerank", key=k)


def ask_dify_voyage(settings: Settings, asked: Asked) -> list[tuple[int, float]]:
    top_k = asked.top_n or len(DOCUMENTS)
    body = {
        "model": asked.model,
        "query": asked.query,
        "documents": DOCUMENTS,
        "top_k": top_k,
        "return_documents": True,
    }
    answer = post(settings, body)
    assert [one["document"] for one in answer["data"]] == [DOCUMENTS[one["index"]] for one in answer["data"]]
    return [(one["index"], one["relevance_score"]) for one in answer["data"]]


@way("Dify, TEI", package="", dialect="TEI", note="requests `/info` first")
def dify_tei(H: str, k: str, M: str) -> Settings:
    return Settings(url=H + "/rerank", key=k)


def ask_dify_tei(settings: Settings, asked: Asked) -> list[tuple[int, float]]:
    info = requests.get(
        settings.url.replace("/rerank", "/info"), headers={"Authorization": f"Bearer {settings.key}"}, timeout=60
    )
    assert next(iter(info.json()["model_type"])) == "reranker"
    assert info.json()["max_input_length"] > 0
    answer = post(settings, {"query": asked.query, "texts": DOCUMENTS, "return_text": True})
    assert [one["text"] for one in answer] == [DOCUMENTS[one["index"]] for one in answer]
    return [(one["index"], one["score"]) for one in answer]


@way("Dify, Ollama", package="", dialect="Jina")
def dify_ollama(H: str, k: str, M: str) -> Settings:
    return Settings(url=H + "/api/rerank", key=k)


@way("RAGFlow, Jina", package="", dialect="Jina")
def ragflow_jina(H: str, k: str, M: str) -> Settings:
    return Settings(url=H + "/v1/rerank", key=k)


def ask_ragflow(settings: Settings, asked: Asked) -> list[tuple[int, float]]:
    top_n = asked.top_n or len(DOCUMENTS)
    answer = post(settings, {"model": asked.model, "query": asked.query, "documents": DOCUMENTS, "top_n": top_n})
    assert answer["usage"]["total_tokens"] > 0
    return results(answer)


@way("RAGFlow, LocalAI", package="", dialect="Jina")
def ragflow_localai(H: str, k: str, M: str) -> Settings:
    return Settings(url=H + "/rerank", key=k)


@way("RAGFlow, SiliconFlow", package="", dialect="SiliconFlow")
def ragflow_siliconflow(H: str, k: str, M: str) -> Settings:
    return Settings(url=H + "/v1/rerank", key=k)


def ask_ragflow_siliconflow(settings: Settings, asked: Asked) -> list[tuple[int, float]]:
    return results(
        post(
            settings,
            {
                "model": asked.model,
                "query": asked.query,
                "documents": DOCUMENTS,
                "top_n": asked.top_n or len(DOCUMENTS),
                "return_documents": False,
                "max_chunks_per_doc": 1024,
                "overlap_tokens": 80,
            },
        )
    )


@way("RAGFlow, NVIDIA", package="", dialect="NVIDIA", note="scores are logits")
def ragflow_nvidia(H: str, k: str, M: str) -> Settings:
    return Settings(url=H + "/v1/reranking", key=k)


@way("RAGFlow, NVIDIA", package="", dialect="NVIDIA", note="scores are logits")
def ragflow_nvidia_mistral(H: str, k: str, M: str) -> Settings:
    return Settings(url=H + "/nv-rerankqa-mistral-4b-v3/reranking", key=k)


def ask_ragflow_nvidia(settings: Settings, asked: Asked) -> list[tuple[int, float]]:
    passages = [{"text": text} for text in DOCUMENTS]
    body = {"model": asked.model, "query": {"text": asked.query}, "passages": passages, "truncate": "END", "top_n": 3}
    return [(one["index"], one["logit"]) for one in post(settings, body)["rankings"]]


@way(
    "RAGFlow, Xinference", package="", dialect="Xinference", note="sends booleans as words; older releases send no key"
)
def ragflow_xinference(H: str, k: str, M: str) -> Settings:
    return Settings(url=H + "/v1/rerank", key=k)


class TestApplications(Ranks):
    """Each call of theirs."""

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

    def test_ragflow_xinference(self, ground: Ground) -> None:
        """Without a key, so of a server that asks for none; "true" is true."""
        ground.front.next("open")
        body = {
            "model": MODEL,
            "query": QUERY,
            "return_documents": "true",
            "return_len": "true",
            "documents": DOCUMENTS,
        }
        answer = requests.post(ground.open(ragflow_xinference).url, json=body, timeout=60).json()
        expect(results(answer))
        assert [one["document"]["text"] for one in answer["results"]] == [
            DOCUMENTS[one["index"]] for one in answer["results"]
        ]
        assert answer["meta"]["tokens"]["input_tokens"] > 0
