"""Infinity: the unified dialect on its own path, with documents as strings in the response.

litellm's provider for Infinity requires strings, its provider for vLLM requires objects, and both send the same keys.
So the path must decide.
"""

from typing import Any, NotRequired

from typing_extensions import TypedDict

from rerank_service.api.http.body import documented
from rerank_service.api.http.dialects.unified import Unified, UnifiedResponse
from rerank_service.api.http.documents import as_text
from rerank_service.api.http.openapi_tags import SERVERS


@documented
class InfinityResult(TypedDict):
    """A ranked document."""

    index: int
    """Position in `documents`, from 0."""
    relevance_score: float
    """The score. Higher is more relevant."""
    document: NotRequired[str]
    """The document as a string. Present if `return_documents` is true."""


@documented
class InfinityResponse(UnifiedResponse):
    """The ranking."""

    results: list[InfinityResult]  # type: ignore[misc]  # the documents are strings here
    """The ranked documents, the most relevant first."""


class Infinity(Unified):
    """The Infinity dialect."""

    paths = ("/infinity/rerank",)
    documented_paths = paths
    title = "Infinity"
    tag = SERVERS
    response_type: Any = InfinityResponse

    def matches(self, body: Any) -> bool:  # noqa: ARG002 - no other dialect has this path
        """Return True: no other dialect has this path."""
        return True

    def returned_document(self, original: Any) -> Any:
        """Return a sent document as a string."""
        return as_text(original)


DIALECT = Infinity()
