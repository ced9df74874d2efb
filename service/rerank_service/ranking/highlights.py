"""Highlights of a ranking: the sentences of each result that score best for the query. Pure."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from rerank_service.errors import InferenceFailed, TooLarge
from rerank_service.quantities import counted
from rerank_service.ranking.document import Document, Span
from rerank_service.ranking.parts import parts_of
from rerank_service.ranking.request import RerankRequest

MAX_SENTENCES = 100
"""Maximum number of sentences of a document that are scored."""
_STEP_DOCUMENTS = 16
"""Maximum number of documents whose sentences are tokenized in one step."""
_STEP_CHARS = 200_000
"""Maximum number of characters that are split into sentences in one step, so that a cancelled request ends soon."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredText:
    """A document that is in the ranking, with the part of its text that was scored."""

    index: int
    """Position of the document in the request, from 0."""
    document: Document
    logit: float
    truncated: bool
    """True if the document was cut."""
    windowed: Span | None = None
    """The part that is in windows, from first to last. None: the document was scored as one pair."""
    best_window: Span | None = None
    """The window with the highest logit. None: the document was scored as one pair."""

    @property
    def is_one_pair(self) -> bool:
        """True if the whole text was scored as one pair."""
        return not self.truncated and self.windowed is None


def check_result_count(request: RerankRequest, documents: int | None, limit: int) -> None:
    """Check in how many results a request has highlights. `documents` is None for a stream, whose size is not known.

    Raises:
        TooLarge: the request may have more than `limit` results.
    """
    if request.highlights is None:
        return
    results = min((count for count in (request.top_n, documents) if count is not None), default=None)
    if results is None or results > limit:
        known = "an unknown number of results" if results is None else counted(results, "result")
        raise TooLarge(
            f"highlights are for at most {counted(limit, 'result')}, and this request has {known}: set top_n to at "
            f"most {limit:,}, or leave highlights (relevant_spans) out",
            field="top_n",
            reason="too_many_highlights",
        )


def steps(texts: Iterable[ScoredText]) -> Iterator[list[ScoredText]]:
    """Yield texts in lists, each small enough for one step. A longer text has a step of its own."""
    return parts_of(texts, lambda scored: len(scored.document.text), max_items=_STEP_DOCUMENTS, max_chars=_STEP_CHARS)


class SentenceBoard:
    """The logits of the sentences of results, collected while their batches run."""

    def __init__(self) -> None:
        self._spans: dict[int, Sequence[Span]] = {}
        self._logits: dict[int, list[float]] = {}
        """Logit of each sentence; NaN while it has none."""

    def add(self, index: int, spans: Sequence[Span]) -> None:
        """Add the sentences of a document, without logits."""
        self._spans[index] = spans
        self._logits[index] = [math.nan] * len(spans)

    def record(self, index: int, sentence: int, logit: float) -> None:
        """Record the logit of a sentence.

        Raises:
            InferenceFailed: the logit is not finite.
        """
        if not math.isfinite(logit):
            raise InferenceFailed(f"the model returned {logit} for a sentence of documents[{index}]")
        self._logits[index][sentence] = logit

    def logit(self, index: int, sentence: int) -> float | None:
        """Return the logit of a sentence; None while it has none."""
        logit = self._logits[index][sentence]
        return None if math.isnan(logit) else logit

    def best(self, count: int) -> Iterator[tuple[int, list[tuple[Span, float]]]]:
        """Yield the index of each document whose sentences all have logits, and its `count` best sentences with their
        logits: best first, of equal ones the first in the text."""
        for index, logits in self._logits.items():
            if not any(map(math.isnan, logits)):
                ranked = sorted(zip(self._spans[index], logits, strict=True), key=lambda entry: -entry[1])
                yield index, ranked[:count]
