"""Judged collection: queries with the candidates of a first stage and the grades of assessors."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Candidate:
    """A document that the first stage found."""

    id: str
    text: str
    """Empty if the collection has no text for the id."""
    grade: float
    """Grade, at least 0. Documents without a judgement and negative grades count as 0."""


@dataclass(frozen=True, slots=True)
class JudgedQuery:
    """A query with its candidates in first-stage order, the best first."""

    place: str
    """Place in the input files, for messages."""
    qid: str
    text: str
    """Empty if the collection has no text for the qid."""
    candidates: tuple[Candidate, ...]
    ideal: tuple[float, ...]
    """Grades of all judged documents, candidates or not, in descending order."""


@dataclass(frozen=True, slots=True)
class Collection:
    """A named set of judged queries. Measures are averaged over its queries."""

    name: str
    queries: tuple[JudgedQuery, ...]
    unjudged: int = 0
    """Number of queries of the first stage without judgements. They are left out, as in trec_eval."""

    @property
    def candidates_without_text(self) -> int:
        """Number of candidates whose text is empty or blank."""
        return sum(not candidate.text.strip() for query in self.queries for candidate in query.candidates)

    @property
    def queries_without_relevant(self) -> int:
        """Number of queries with candidates whose judged documents all have grade 0."""
        return sum(bool(query.candidates) and not any(query.ideal) for query in self.queries)

    @property
    def pairs(self) -> int:
        """Number of pairs to score."""
        return sum(len(query.candidates) for query in self.queries)


@dataclass(frozen=True, slots=True)
class Subset:
    """The part of a collection to read. None means all."""

    depth: int | None = None
    """Number of candidates per query, in first-stage order."""
    queries: int | None = None
    """Number of queries, in file order."""


def descending_grades(grades: Iterable[float]) -> tuple[float, ...]:
    """Return the grades in descending order, negative ones as 0."""
    return tuple(sorted((max(0.0, grade) for grade in grades), reverse=True))
