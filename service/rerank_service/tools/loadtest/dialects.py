"""The JSON of rerank servers: what to send, and whether what came back is a ranking of it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from rerank_service.quantities import counted
from rerank_service.tools.loadtest.target import WRONG_ANSWER, Answer, CallFailed
from rerank_service.tools.loadtest.workload import Request


class Dialect(Enum):
    """Who speaks so."""

    COHERE = "cohere"
    """`{query, documents, top_n}`: Cohere, Together, Jina, vLLM, Infinity, LocalAI, this server."""
    TEI = "tei"
    """`{query, texts}`: Text Embeddings Inference."""


@dataclass(frozen=True, slots=True)
class Route:
    """A dialect and where it is spoken."""

    dialect: Dialect
    path: str


ROUTES = (
    Route(Dialect.COHERE, "/v1/rerank"),
    Route(Dialect.COHERE, "/v2/rerank"),
    Route(Dialect.COHERE, "/rerank"),
    Route(Dialect.TEI, "/rerank"),
)
"""Tried in this order where neither path nor dialect is given."""


def routes(path: str, dialect: Dialect | None) -> list[Route]:
    """What there is to try, for a path ("" or "/" for none) and a dialect, if they were given."""
    if path.strip("/"):
        return [Route(one, path) for one in Dialect if dialect in (None, one)]
    return [route for route in ROUTES if dialect in (None, route.dialect)]


def body(dialect: Dialect, request: Request, model: str) -> dict[str, Any]:
    """What is sent. TEI serves one model and passes over its name, which this server does not; it fails on a long text
    unless told to cut it."""
    named = {"model": model} if model else {}
    if dialect is Dialect.TEI:
        return named | {"query": request.query, "texts": request.documents, "truncate": True}
    return named | {"query": request.query, "documents": request.documents, "top_n": len(request.documents)}


def read(dialect: Dialect, request: Request, answer: Any) -> Answer:
    """What came back.

    Raises:
        CallFailed: it does not rank all the documents that were sent.
    """
    try:
        results = answer if dialect is Dialect.TEI else answer["results"]
        scores = [one["score" if dialect is Dialect.TEI else "relevance_score"] for one in results]
        check_ranking([one["index"] for one in results], scores, len(request.documents))
        return Answer(tokens=0 if dialect is Dialect.TEI else _tokens(answer))
    except (KeyError, TypeError, AttributeError) as error:
        raise CallFailed(WRONG_ANSWER, f"the answer is no ranking: {error!r}") from error


def check_ranking(indexes: Sequence[int], scores: Sequence[float], documents: int) -> None:
    """Each document once, each with a score that is a number.

    Raises:
        CallFailed: it is not so.
    """
    if sorted(indexes) != list(range(documents)) or not all(map(math.isfinite, scores)):
        raise CallFailed(WRONG_ANSWER, f"the answer does not rank the {counted(documents, 'document')}")


def _tokens(answer: dict[str, Any]) -> int:
    return int((answer.get("usage") or {}).get("prompt_tokens") or 0)
