"""A collection scored by a model, and measured before and after.

Ties are broken as the server breaks them: documents of one logit stay in the order in which they came.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from rerank_service.ranking.scores import rank
from rerank_service.tools.evaluation.collection import Collection, JudgedQuery
from rerank_service.tools.evaluation.measures import Figures, Measures, mean
from rerank_service.tools.offline_scoring import Logits, Scorer, Scores, Task, score_all


@dataclass(frozen=True, slots=True)
class QueryResult:
    """What became of a query."""

    query: JudgedQuery
    logits: Logits | None
    """None where the query was too long for the model: a caller would be left with the first stage's order."""
    order: tuple[int, ...]
    """Positions in the candidates, the best first."""
    before: Figures
    after: Figures


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

    @property
    def too_long(self) -> int:
        """Queries that could not be scored."""
        return sum(one.logits is None for one in self.results)


async def evaluate(
    collection: Collection, scorer: Scorer, measures: Measures, scored: Callable[[int], None]
) -> Evaluated:
    """Score all candidates; `scored` is told of how many more."""
    begun = time.perf_counter()
    tasks = [Task(one.place, one.text, [each.text for each in one.candidates]) for one in collection.queries]
    found = await score_all(scorer, tasks, scored)
    seconds = time.perf_counter() - begun
    logits = [None if one is None else one.logits for one in found]
    results = (_result(query, one, measures) for query, one in zip(collection.queries, logits, strict=True))
    return Evaluated(collection, tuple(results), seconds, _read([one for one in found if one is not None]))


def _read(found: Sequence[Scores]) -> Read:
    return Read(
        sum(int(one.windows.sum()) for one in found),
        sum(int((one.windows > 1).sum()) for one in found),
        sum(int(one.cut.sum()) for one in found),
    )


def _result(query: JudgedQuery, logits: Logits | None, measures: Measures) -> QueryResult:
    came = range(len(query.candidates))
    order = tuple(came) if logits is None else tuple(rank(logits, logits.astype(np.float64)).tolist())
    before, after = (
        measures.of([query.candidates[at].grade for at in one], query.ideal) for one in (tuple(came), order)
    )
    return QueryResult(query, logits, order, before, after)
