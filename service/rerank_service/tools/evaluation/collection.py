"""What is evaluated: queries with candidates in the order of a first stage, and what assessors said."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Candidate:
    """A document that a first stage found."""

    id: str
    text: str
    """Empty where the collection has none."""
    grade: float
    """0 where nobody judged it, and where it was judged below 0."""


@dataclass(frozen=True, slots=True)
class JudgedQuery:
    """A query with its candidates, the first stage's best first."""

    place: str
    """Where it was read."""
    qid: str
    text: str
    """Empty where the collection has none."""
    candidates: tuple[Candidate, ...]
    ideal: tuple[float, ...]
    """Grades of all judged documents, candidates or not, the best first."""


@dataclass(frozen=True, slots=True)
class Collection:
    """Queries of one kind; their figures are averaged."""

    name: str
    queries: tuple[JudgedQuery, ...]
    unjudged: int = 0
    """Number of queries of the first stage that have no judgements; they are left out, as in trec_eval."""

    @property
    def candidates_without_text(self) -> int:
        """Number of candidates of which there is nothing to read."""
        return sum(not candidate.text.strip() for query in self.queries for candidate in query.candidates)

    @property
    def queries_without_relevant(self) -> int:
        """Number of queries with candidates, of which no judged document has a grade above 0."""
        return sum(bool(query.candidates) and not any(query.ideal) for query in self.queries)

    @property
    def pairs(self) -> int:
        """To score."""
        return sum(len(query.candidates) for query in self.queries)


@dataclass(frozen=True, slots=True)
class Part:
    """How much of a collection is read. None: all."""

    depth: int | None = None
    """Candidates of each query, the first stage's best."""
    queries: int | None = None
    """The first ones."""


def best_first(grades: Iterable[float]) -> tuple[float, ...]:
    """Those below 0 as 0."""
    return tuple(sorted((max(0.0, grade) for grade in grades), reverse=True))
