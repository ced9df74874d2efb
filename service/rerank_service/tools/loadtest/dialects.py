"""JSON dialects of rerank servers: build the request body, and check that the response ranks the documents."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from rerank_service.quantities import counted
from rerank_service.tools.loadtest.target import WRONG_ANSWER, CallFailed, Usage
from rerank_service.tools.loadtest.workload import Request


class Dialect(Enum):
    """JSON format of a server."""

    COHERE = "cohere"
    """`{query, documents, top_n}`: Cohere, Together, Jina, vLLM, Infinity, LocalAI, this server."""
    TEI = "tei"
    """`{query, texts}`: Text Embeddings Inference."""


@dataclass(frozen=True, slots=True)
class Route:
    """A path and the dialect of its requests."""

    dialect: Dialect
    path: str


ROUTES = (
    Route(Dialect.COHERE, "/v1/rerank"),
    Route(Dialect.COHERE, "/v2/rerank"),
    Route(Dialect.COHERE, "/rerank"),
    Route(Dialect.TEI, "/rerank"),
)
"""Routes to try, in this order, if neither path nor dialect is given."""


_BASE_PATHS = ("/v1", "/v2")
"""Paths of base URLs, as Cohere's and Together's clients take them. Rankings are at /rerank below."""


def routes(path: str, dialect: Dialect | None) -> list[Route]:
    """Return the routes to try for a path ("" or "/" for the usual ones) and a dialect (None for all)."""
    if path.rstrip("/") in _BASE_PATHS:
        path = f"{path.rstrip('/')}/rerank"
    if path.strip("/"):
        return [Route(candidate, path) for candidate in Dialect if dialect in (None, candidate)]
    return [route for route in ROUTES if dialect in (None, route.dialect)]


def body(dialect: Dialect, request: Request, model: str) -> dict[str, Any]:
    """Return the JSON of a request. An empty model name is left out.

    TEI ignores the model name; this server's TEI route needs it. TEI rejects long texts without `truncate`.
    """
    named = {"model": model} if model else {}
    if dialect is Dialect.TEI:
        return named | {"query": request.query, "texts": request.documents, "truncate": True}
    return named | {"query": request.query, "documents": request.documents, "top_n": len(request.documents)}


def read(dialect: Dialect, request: Request, response: Any) -> Usage:
    """Check the JSON of a response and return its token counts.

    Raises:
        CallFailed: the response does not rank all documents of the request.
    """
    is_tei = dialect is Dialect.TEI
    try:
        results = response if is_tei else response["results"]
        scores = [result["score" if is_tei else "relevance_score"] for result in results]
        check_ranking([result["index"] for result in results], scores, len(request.documents))
        return Usage() if is_tei else Usage(_prompt_tokens(response))
    except (KeyError, TypeError, AttributeError) as error:
        raise CallFailed(WRONG_ANSWER, f"the response is not a ranking: {error!r}") from error


def check_ranking(indexes: Sequence[int], scores: Sequence[float], documents: int) -> None:
    """Check that each document occurs once with a finite score.

    Raises:
        CallFailed: a document is missing or repeated, or a score is not finite.
    """
    if sorted(indexes) != list(range(documents)) or not all(map(math.isfinite, scores)):
        raise CallFailed(WRONG_ANSWER, f"the response does not rank the {counted(documents, 'document')}")


def _prompt_tokens(response: dict[str, Any]) -> int:
    return int((response.get("usage") or {}).get("prompt_tokens") or 0)
