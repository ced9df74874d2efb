"""Infinity on a path of its own, where documents go back as strings.

litellm's provider for Infinity demands that, and sends what its provider for vLLM sends, which demands objects: no key
tells them apart.
"""

from typing import Any, NotRequired

from typing_extensions import TypedDict

from rerank_service.api.http.dialects.unified import Unified, UnifiedAnswer
from rerank_service.api.http.documents import as_text


class InfinityResult(TypedDict):
    """A ranked document."""

    index: int
    relevance_score: float
    document: NotRequired[str]


class InfinityAnswer(UnifiedAnswer):
    """The ranking."""

    results: list[InfinityResult]  # type: ignore[misc]  # that is the difference


class Infinity(Unified):
    """The dialect."""

    paths = ("/infinity/rerank",)
    shown = paths
    response: Any = InfinityAnswer

    def speaks(self, body: Any) -> bool:  # noqa: ARG002 - the path is its own
        """Always."""
        return True

    def shown_document(self, original: Any) -> Any:
        """The text."""
        return as_text(original)


DIALECT = Infinity()
