"""Valid REST requests, one form for each dialect."""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torture.equivalence import texts

Body = dict[str, Any]


@dataclass(frozen=True, slots=True)
class RestRequest:
    """A request, without its name of a model."""

    dialect: str
    path: str
    body: Body


def rest_request(generator: random.Random) -> RestRequest:
    """Return a valid request of any dialect."""
    dialect = generator.choice(list(_FORMS))
    path, body = _FORMS[dialect](generator)
    return RestRequest(dialect, path, body)


def _some(generator: random.Random, options: Mapping[str, Callable[[], Any]]) -> Body:
    """Return some of the options, each with a value."""
    return {name: value() for name, value in options.items() if generator.random() < 0.3}


def _unified(generator: random.Random) -> tuple[str, Body]:
    path = generator.choice(
        ("/v1/rerank", "/v2/rerank", "/rerank", "/v1/v1/rerank", "/reranks", "/inference/v1/rerank")
    )
    options = {
        "top_n": lambda: generator.randint(0, 10),
        "return_documents": lambda: generator.random() < 0.5,
        "raw_scores": lambda: generator.random() < 0.5,
        "score_type": lambda: generator.choice(("raw", "sigmoid", "probability")),
        "min_score": lambda: generator.choice((0.0, 0.5)),
        "priority": lambda: generator.randint(-3, 3),
        "max_tokens_per_doc": lambda: generator.choice((8, 20, 64)),
        "max_chunks_per_doc": lambda: generator.randint(1, 3),
        "overlap_tokens": lambda: generator.randint(0, 8),
        "window_score": lambda: generator.choice(("best", "best_two")),
        "highlights": lambda: generator.randint(1, 3),
        "truncation_side": lambda: generator.choice(("left", "right")),
    }
    return path, {"query": texts.query(generator), "documents": texts.documents(generator)} | _some(generator, options)


def _objects(generator: random.Random) -> tuple[str, Body]:
    found = [
        {"title": texts.query(generator), "text": text or "0", "year": generator.randint(0, 99)}
        for text in texts.documents(generator, most=10)
    ]
    options = {"rank_fields": lambda: ["text", "title"], "return_documents": lambda: True, "top_n": lambda: 3}
    return "/v1/rerank", {"query": texts.query(generator), "documents": found} | _some(generator, options)


def _spans(generator: random.Random) -> tuple[str, Body]:
    spans = {"mode": "enabled", "threshold": 0.1, "max_spans": generator.randint(0, 2)}
    body = {"query": texts.query(generator), "documents": texts.documents(generator), "relevant_spans": spans}
    return "/v2/rerank", body


def _tei(generator: random.Random) -> tuple[str, Body]:
    options = {
        "raw_scores": lambda: True,
        "return_text": lambda: True,
        "truncation_direction": lambda: generator.choice(("Left", "Right")),
    }
    body = {"query": texts.query(generator), "texts": texts.documents(generator), "truncate": True}
    return "/rerank", body | _some(generator, options)


def _mixedbread(generator: random.Random) -> tuple[str, Body]:
    options = {"top_k": lambda: generator.randint(1, 5), "return_input": lambda: True}
    body = {"query": texts.query(generator), "input": texts.documents(generator)}
    return "/v1/reranking", body | _some(generator, options)


def _nvidia(generator: random.Random) -> tuple[str, Body]:
    passages = [{"text": text} for text in texts.documents(generator)]
    return "/v1/ranking", {"query": {"text": texts.query(generator)}, "passages": passages, "truncate": "END"}


def _pinecone(generator: random.Random) -> tuple[str, Body]:
    found = [{"id": str(place), "text": text or "0"} for place, text in enumerate(texts.documents(generator))]
    body = {"query": texts.query(generator), "documents": found, "rank_fields": ["text"], "return_documents": True}
    return "/rerank", body | {"top_n": generator.randint(1, 5)}


def _weaviate(generator: random.Random) -> tuple[str, Body]:
    return "/rerank", {"query": texts.query(generator), "documents": texts.documents(generator), "property": "text"}


def _bedrock(generator: random.Random) -> tuple[str, Body]:
    sources = [
        {"type": "INLINE", "inlineDocumentSource": {"type": "TEXT", "textDocument": {"text": text}}}
        for text in texts.documents(generator)
    ]
    queries = [{"type": "TEXT", "textQuery": {"text": texts.query(generator)}}]
    return "/rerank", {"queries": queries, "sources": sources}


def _hugging_face(generator: random.Random) -> tuple[str, Body]:
    body = {"query": texts.query(generator), "texts": texts.documents(generator), "return_text": True}
    return "/hf/rerank", body


def _deepinfra(generator: random.Random) -> tuple[str, Body]:
    return "/v1/inference/default", {"queries": [texts.query(generator)], "documents": texts.documents(generator)}


def _watsonx(generator: random.Random) -> tuple[str, Body]:
    inputs = [{"text": text} for text in texts.documents(generator)]
    parameters = {"return_options": {"top_n": generator.randint(1, 5), "inputs": True, "query": True}}
    return "/ml/v1/text/rerank", {"query": texts.query(generator), "inputs": inputs, "parameters": parameters}


def _dashscope(generator: random.Random) -> tuple[str, Body]:
    sent = {"query": texts.query(generator), "documents": texts.documents(generator)}
    parameters = {"return_documents": True, "top_n": generator.randint(1, 5)}
    return "/api/v1/services/rerank/text-rerank/text-rerank", {"input": sent, "parameters": parameters}


def _scores(generator: random.Random) -> tuple[str, Body]:
    right = texts.documents(generator)
    left = [texts.query(generator) for _ in right] if generator.random() < 0.5 else texts.query(generator)
    return "/v1/score", {"text_1": left, "text_2": right}


def _infinity(generator: random.Random) -> tuple[str, Body]:
    body = {"query": texts.query(generator), "documents": texts.documents(generator), "return_documents": True}
    return "/infinity/rerank", body


def _zeroentropy(generator: random.Random) -> tuple[str, Body]:
    return "/v1/models/rerank", {"query": texts.query(generator), "documents": texts.documents(generator), "top_n": 3}


_FORMS: Mapping[str, Callable[[random.Random], tuple[str, Body]]] = {
    "unified": _unified,
    "unified, objects": _objects,
    "unified, spans": _spans,
    "tei": _tei,
    "mixedbread": _mixedbread,
    "nvidia": _nvidia,
    "pinecone": _pinecone,
    "weaviate": _weaviate,
    "bedrock": _bedrock,
    "hugging_face": _hugging_face,
    "deepinfra": _deepinfra,
    "watsonx": _watsonx,
    "dashscope": _dashscope,
    "score": _scores,
    "infinity": _infinity,
    "zeroentropy": _zeroentropy,
}
