"""A collection scored by a model, and measured before and after.

Ties are broken as the server breaks them: documents of one logit stay in the order in which they came.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from rerank_service.ranking.scores import rank
from rerank_service.tools.evaluation.collection import Collection, JudgedQuery
from rerank_service.tools.evaluation.measures import Figures, Measures, mean
from rerank_service.tools.offline_scoring import Logits, Refusal, Scorer, Scores, Task, score_all


class Unscored(StrEnum):
    """Why the model did not score a query. A caller is left with the first stage's order, so that is measured."""

    WITHOUT_CANDIDATES = "without_candidates"
    WITHOUT_TEXT = "without_text"
    TOO_LONG = "too_long"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class QueryResult:
    """What became of a query."""

    query: JudgedQuery
    logits: Logits | None
    """None where the model did not score it."""
    order: tuple[int, ...]
    """Positions in the candidates, the best first."""
    before: Figures
    after: Figures
    unscored: Unscored | None = None
    """The reason where `logits` is None."""
    refusal: str = ""
    """The message of a refusal, with the place of the query."""


@dataclass(frozen=True, slots=True)
class Read:
    """How the documents were read, counted for each query that they are candidates of."""

    windows: int
    """All of them together."""
    in_windows: int
    """Documents that were scored in several."""
    cut: int
    """Documents of which not all was scored."""


@dataclass(frozen=True, slots=True)
class Evaluated:
    """What became of a collection."""

    collection: Collection
    results: tuple[QueryResult, ...]
    seconds: float
    read: Read

    @property
    def before(self) -> Figures:
        """Of the first stage's order."""
        return mean([one.before for one in self.results])

    @property
    def after(self) -> Figures:
        """Of the model's order."""
        return mean([one.after for one in self.results])

    def unscored(self, reason: Unscored) -> int:
        """Return the number of queries that the model did not score for this reason."""
        return sum(result.unscored is reason for result in self.results)

    @property
    def refusal(self) -> str:
        """The first refusal's message; empty where there was none."""
        return next((result.refusal for result in self.results if result.unscored is Unscored.REFUSED), "")


async def evaluate(
    collection: Collection, scorer: Scorer, measures: Measures, scored: Callable[[int], None]
) -> Evaluated:
    """Score all candidates; `scored` is told of how many more. A query that cannot be scored counts, too."""
    begun = time.perf_counter()
    asked = [query for query in collection.queries if _obstacle(query) is None]
    tasks = [Task(query.place, query.text, [each.text for each in query.candidates]) for query in asked]
    found = await score_all(scorer, tasks, scored)
    seconds = time.perf_counter() - begun
    outcomes = dict(zip((query.qid for query in asked), found, strict=True))
    results = tuple(_result(query, outcomes.get(query.qid), measures) for query in collection.queries)
    return Evaluated(collection, results, seconds, _read([each for each in found if isinstance(each, Scores)]))


def _obstacle(query: JudgedQuery) -> Unscored | None:
    """Return why there is nothing to ask the model; None if there is."""
    if not query.candidates:
        return Unscored.WITHOUT_CANDIDATES
    return None if query.text.strip() else Unscored.WITHOUT_TEXT


def _read(found: Sequence[Scores]) -> Read:
    return Read(
        sum(int(one.windows.sum()) for one in found),
        sum(int((one.windows > 1).sum()) for one in found),
        sum(int(one.cut.sum()) for one in found),
    )


def _result(query: JudgedQuery, outcome: Scores | Refusal | None, measures: Measures) -> QueryResult:
    came = tuple(range(len(query.candidates)))
    before = _figures(query, came, measures)
    if isinstance(outcome, Scores):
        logits = outcome.logits
        order = tuple(rank(logits, logits.astype(np.float64)).tolist())
        return QueryResult(query, logits, order, before, _figures(query, order, measures))
    if outcome is None:
        return QueryResult(query, None, came, before, before, _obstacle(query))
    reason = Unscored.TOO_LONG if outcome.query_too_long else Unscored.REFUSED
    return QueryResult(query, None, came, before, before, reason, f"{query.place}: {outcome.message}")


def _figures(query: JudgedQuery, order: Sequence[int], measures: Measures) -> Figures:
    return measures.of([query.candidates[at].grade for at in order], query.ideal)
