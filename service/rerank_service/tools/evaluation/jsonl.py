"""Collections in one JSONL file, one query per line.

    {"qid": "7", "query": …, "documents": [{"id": "d1", "text": …, "bm25": 12.3, "grade": 2}, …], "grades": [3, 2, …]}

The first-stage order is that of `bm25`, descending, if all documents have it. Otherwise, and among equal values, it is
the order in the file. `grades` are the grades of all judged documents; the default is the candidates' grades. `query`
and `documents` may be empty: the evaluation counts such a query.
"""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, FiniteFloat

from rerank_service.errors import FileInvalid
from rerank_service.tools.evaluation.collection import Candidate, Collection, JudgedQuery, Subset, descending_grades
from rerank_service.tools.input_files import RowId, read_objects


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True)

    id: RowId
    text: str
    bm25: FiniteFloat | None = None
    grade: FiniteFloat | None = None


class _Line(BaseModel):
    model_config = ConfigDict(frozen=True)

    qid: RowId
    query: str
    documents: list[_Document]
    grades: list[FiniteFloat] | None = None


def read_jsonl(path: Path, subset: Subset) -> Collection:
    """Read a file, or a subset of it.

    Raises:
        FileInvalid: a line has another form, contradicts itself, or repeats a qid.
        OSError: the file cannot be read.
    """
    queries: dict[str, JudgedQuery] = {}
    for place, line in read_objects(path, _Line):
        if len(queries) == subset.queries:
            break
        if line.qid in queries:
            raise FileInvalid(f"{place}: qid {line.qid} repeats {queries[line.qid].place}")
        queries[line.qid] = _query(place, line, subset.depth)
    if not queries:
        raise FileInvalid(f"{path}: the file has no queries")
    return Collection(path.name.removesuffix(".gz").removesuffix(".jsonl"), tuple(queries.values()))


def _query(place: str, line: _Line, depth: int | None) -> JudgedQuery:
    candidates = tuple(
        Candidate(document.id, document.text, max(0.0, document.grade or 0.0)) for document in _ordered(line.documents)
    )
    if len({candidate.id for candidate in candidates}) < len(candidates):
        raise FileInvalid(f"{place}: two documents have the same id")
    own_grades = descending_grades(candidate.grade for candidate in candidates)
    ideal = own_grades if line.grades is None else descending_grades(line.grades)
    padded = (*ideal, *(0.0 for _ in own_grades))
    if any(own > best for own, best in zip(own_grades, padded, strict=False)):
        raise FileInvalid(f"{place}: grades must contain the grade of every document; some are missing")
    return JudgedQuery(place, line.qid, line.query, candidates[:depth], ideal)


def _ordered(documents: list[_Document]) -> list[_Document]:
    if any(document.bm25 is None for document in documents):
        return documents
    return sorted(documents, key=lambda document: -(document.bm25 or 0.0))
