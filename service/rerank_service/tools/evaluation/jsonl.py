"""Collections of one file, a query a line, with everything in it.

    {"qid": "7", "query": …, "documents": [{"id": "d1", "text": …, "bm25": 12.3, "grade": 2}, …], "grades": [3, 2, …]}

The order of the first stage is that of `bm25` where all documents have it (higher first, then as they stand), else as
they stand. `grades` are those of all judged documents; without it those of the candidates. `query` and `documents` may
be empty: the evaluation counts such a query.
"""

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, FiniteFloat

from rerank_service.errors import FileInvalid
from rerank_service.tools.evaluation.collection import Candidate, Collection, JudgedQuery, Part, best_first
from rerank_service.tools.input_files import objects

_Id = Annotated[str, BeforeValidator(lambda value: str(value) if isinstance(value, int) else value)]


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True)

    id: _Id
    text: str
    bm25: FiniteFloat | None = None
    grade: FiniteFloat | None = None


class _Line(BaseModel):
    model_config = ConfigDict(frozen=True)

    qid: _Id
    query: str
    documents: list[_Document]
    grades: list[FiniteFloat] | None = None


def read_jsonl(path: Path, part: Part) -> Collection:
    """All of a file, or a part.

    Raises:
        FileInvalid: a line is of another form, or contradicts itself or one before.
        OSError: it cannot be read.
    """
    queries: dict[str, JudgedQuery] = {}
    for place, line in objects(path, _Line):
        if len(queries) == part.queries:
            break
        if line.qid in queries:
            raise FileInvalid(f"{place}: qid {line.qid} was at {queries[line.qid].place} already")
        queries[line.qid] = _query(place, line, part.depth)
    if not queries:
        raise FileInvalid(f"{path}: holds no query")
    return Collection(path.name.removesuffix(".gz").removesuffix(".jsonl"), tuple(queries.values()))


def _query(place: str, line: _Line, depth: int | None) -> JudgedQuery:
    candidates = tuple(Candidate(one.id, one.text, max(0.0, one.grade or 0.0)) for one in _ordered(line.documents))
    if len({one.id for one in candidates}) < len(candidates):
        raise FileInvalid(f"{place}: two documents have one id")
    known = best_first(one.grade for one in candidates)
    ideal = known if line.grades is None else best_first(line.grades)
    padded = (*ideal, *(0.0 for _ in known))
    if any(one > best for one, best in zip(known, padded, strict=False)):
        raise FileInvalid(f"{place}: grades lacks some that documents have, so no order could be ideal")
    return JudgedQuery(place, line.qid, line.query, candidates[:depth], ideal)


def _ordered(documents: list[_Document]) -> list[_Document]:
    scores = [one.bm25 for one in documents]
    if any(score is None for score in scores):
        return documents
    return sorted(documents, key=lambda one: -(one.bm25 or 0.0))
