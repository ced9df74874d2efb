"""Score the candidates of a collection and measure the ranking before and after.

Ties are broken as in the server: documents with equal logits keep their first-stage order.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from rerank_service.errors import SettingsInvalid
from rerank_service.ranking.scores import rank
from rerank_service.tools.evaluation.collection import Collection, JudgedQuery
from rerank_service.tools.evaluation.measures import Measures, MeasureValues, mean
from rerank_service.tools.offline_scoring import Logits, OnScored, Refusal, Scorer, Scores, Task, score_all


class Unscored(StrEnum):
    """Reason why the model did not score a query.

    Its first-stage order is measured, because a caller keeps that order.
    """

    WITHOUT_CANDIDATES = "without_candidates"
    WITHOUT_TEXT = "without_text"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryResult:
    """The ranking of one query and its measures before and after."""

    query: JudgedQuery
    logits: Logits | None = None
    """Shape (candidates,). None if the model did not score the query."""
    order: tuple[int, ...]
    """Positions in the candidates, the best first."""
    before: MeasureValues
    after: MeasureValues
    unscored: Unscored | None = None
    """The reason if `logits` is None."""
    refusal: str = ""
    """Message of a refusal, with the place of the query."""


@dataclass(frozen=True, slots=True)
class ScoredCounts:
    """Counts of scored queries and documents. A document counts once for each query that has it as a candidate."""

    windows: int
    """Windows of all documents together."""
    in_windows: int
    """Documents that were scored in more than one window."""
    truncated: int
    """Documents that were not scored completely."""
    queries_truncated: int
    """Queries that were cut."""


@dataclass(frozen=True, slots=True)
class CollectionResult:
    """Results of all queries of a collection."""

    collection: Collection
    queries: tuple[QueryResult, ...]
    seconds: float
    scored: ScoredCounts

    @property
    def before(self) -> MeasureValues:
        """Mean measures of the first-stage order."""
        return mean([query.before for query in self.queries])

    @property
    def after(self) -> MeasureValues:
        """Mean measures of the model's order."""
        return mean([query.after for query in self.queries])

    def unscored(self, reason: Unscored) -> int:
        """Return the number of queries that the model did not score for this reason."""
        return sum(query.unscored is reason for query in self.queries)

    @property
    def refusal(self) -> str:
        """Message of the first refusal; empty if there was none."""
        return next((query.refusal for query in self.queries if query.unscored is Unscored.REFUSED), "")


def check_grades(collection: Collection, measures: Measures) -> None:
    """Check that nDCG can be computed, before hours of scoring.

    Raises:
        SettingsInvalid: a grade is too large for the gain.
    """
    for query in collection.queries:
        if query.ideal and query.ideal[0] > measures.max_grade:
            raise SettingsInvalid(
                f"{query.place}: a grade is {query.ideal[0]:g}: --gain {measures.gain} allows grades up to "
                f"{measures.max_grade:g}"
            )


async def evaluate(collection: Collection, scorer: Scorer, measures: Measures, on_scored: OnScored) -> CollectionResult:
    """Score all candidates and measure each query. Queries that cannot be scored count with their first-stage order.

    `on_scored` receives the number of documents after each scored query.
    """
    begun = time.perf_counter()
    scorable = [query for query in collection.queries if _obstacle(query) is None]
    tasks = [Task(query.place, query.text, [candidate.text for candidate in query.candidates]) for query in scorable]
    outcomes = await score_all(scorer, tasks, on_scored)
    seconds = time.perf_counter() - begun
    by_qid = dict(zip((query.qid for query in scorable), outcomes, strict=True))
    results = tuple(_query_result(query, by_qid.get(query.qid), measures) for query in collection.queries)
    scored = [outcome for outcome in outcomes if isinstance(outcome, Scores)]
    return CollectionResult(collection, results, seconds, _scored_counts(scored))


def _obstacle(query: JudgedQuery) -> Unscored | None:
    """Return why a query has nothing to score; None if it has."""
    if not query.candidates:
        return Unscored.WITHOUT_CANDIDATES
    return None if query.text.strip() else Unscored.WITHOUT_TEXT


def _scored_counts(scored: Sequence[Scores]) -> ScoredCounts:
    return ScoredCounts(
        windows=sum(int(scores.windows.sum()) for scores in scored),
        in_windows=sum(int((scores.windows > 1).sum()) for scores in scored),
        truncated=sum(int(scores.truncated.sum()) for scores in scored),
        queries_truncated=sum(scores.query_truncated for scores in scored),
    )


def _query_result(query: JudgedQuery, outcome: Scores | Refusal | None, measures: Measures) -> QueryResult:
    first_stage = tuple(range(len(query.candidates)))
    before = _measured(query, first_stage, measures)
    if isinstance(outcome, Scores):
        logits = outcome.logits
        order = tuple(rank(logits).tolist())
        after = _measured(query, order, measures)
        return QueryResult(query=query, logits=logits, order=order, before=before, after=after)
    if outcome is None:
        reason, refusal = _obstacle(query), ""
    else:
        reason, refusal = Unscored.REFUSED, f"{query.place}: {outcome.message}"
    return QueryResult(query=query, order=first_stage, before=before, after=before, unscored=reason, refusal=refusal)


def _measured(query: JudgedQuery, order: Sequence[int], measures: Measures) -> MeasureValues:
    return measures.compute([query.candidates[position].grade for position in order], query.ideal)
