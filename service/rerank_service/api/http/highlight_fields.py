"""Fields of highlights: the sentences of each result that score best for the query. Ours, and Cohere's form of them.

Source: Cohere API reference, v2/rerank, `relevant_spans`; the SDK cohere for Python, types/rerank_relevant_spans.py.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, FiniteFloat, GetJsonSchemaHandler
from pydantic_core import CoreSchema
from typing_extensions import TypedDict

from rerank_service.api.http.body import CONFIG, JsonBody, documented
from rerank_service.api.http.field_types import Limit
from rerank_service.ranking.highlights import MAX_SENTENCES
from rerank_service.ranking.results import RankedDocument

_DEFAULT_THRESHOLD = 0.1
"""Cohere's default of `threshold`."""


class RelevantSpans(BaseModel):
    """Cohere's request for highlights."""

    model_config = CONFIG

    mode: Literal["enabled", "disabled", ""]
    """"enabled": each result has `relevant_spans`. "disabled" and "": no result has them."""
    threshold: FiniteFloat | None = None
    """Minimum score of a span, of the type of `relevance_score`. Default: 0.1."""
    max_spans: Limit | None = None
    """Maximum number of spans per document. Default, and 0: all that reach the threshold."""

    @property
    def count(self) -> int:
        """Return the number of sentences that the spans are chosen from; 0 if there are none."""
        return (self.max_spans or MAX_SENTENCES) if self.mode == "enabled" else 0

    @property
    def minimum(self) -> float:
        """Return the minimum score of a span."""
        return _DEFAULT_THRESHOLD if self.threshold is None else self.threshold


class _OrFlag:
    """Annotation of a type that also accepts a boolean: its JSON schema says so."""

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"anyOf": [{"type": "boolean"}, handler(schema)]}


def _flag_as_mode(value: Any) -> Any:
    return {"mode": "enabled" if value else "disabled"} if isinstance(value, bool) else value


class HighlightFields(JsonBody):
    """Fields that ask for highlights."""

    highlights: Limit | None = None
    """Number of highlights per result: the sentences that score best for the query. They are scored after the ranking,
    each as a pair of its own. Default, and 0: none."""
    relevant_spans: Annotated[RelevantSpans | None, BeforeValidator(_flag_as_mode), _OrFlag()] = None
    """Cohere's form of `highlights`. Each result has the sentences that reach the threshold, best first. true stands
    for `{"mode": "enabled"}`, false for null. Default: none."""

    @property
    def highlight_count(self) -> int:
        """Return the number of sentences to choose per result; 0 for none."""
        return max(self.highlights or 0, self.relevant_spans.count if self.relevant_spans else 0)

    def of(self, ranked: RankedDocument) -> dict[str, Any]:
        """Return the fields of a result that has highlights: those that the request asks for."""
        fields: dict[str, Any] = {}
        if self.highlights:
            fields["highlights"] = [
                {"start": each.span[0], "end": each.span[1], "relevance_score": each.relevance_score}
                for each in ranked.highlights[: self.highlights]
            ]
        if spans := self._relevant_spans(ranked):
            fields["relevant_spans"] = spans
        return fields

    def _relevant_spans(self, ranked: RankedDocument) -> list[dict[str, Any]]:
        wanted = self.relevant_spans
        if wanted is None:
            return []
        return [
            {"start": each.span[0], "end": each.span[1], "score": each.relevance_score}
            for each in ranked.highlights[: wanted.count]
            if each.relevance_score >= wanted.minimum
        ]


@documented
class HighlightSpan(TypedDict):
    """A sentence that scores well for the query. Positions are Unicode code points in the ranked text."""

    start: int
    """Position of the first code point, from 0."""
    end: int
    """Position after the last code point."""
    relevance_score: float
    """Score of the sentence, as if it were a document of its own."""


@documented
class RelevantSpan(TypedDict):
    """A sentence that scores well for the query, in the form of Cohere."""

    start: int
    """Position of the first code point, from 0."""
    end: int
    """Position after the last code point."""
    score: float
    """Score of the sentence, as if it were a document of its own."""
