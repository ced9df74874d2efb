"""Collections in TREC's formats: a run, `qid Q0 docid rank score tag`, and qrels, `qid 0 docid grade`.

Texts come from separate files. The order of a run is trec_eval's: by descending score, then by descending docid. The
rank column is ignored.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from rerank_service.error_text import excerpt
from rerank_service.errors import FileInvalid
from rerank_service.tools.evaluation.collection import Candidate, Collection, JudgedQuery, Subset, descending_grades
from rerank_service.tools.evaluation.text_files import read_texts
from rerank_service.tools.input_files import read_columns

Qrels = Mapping[str, Mapping[str, float]]
"""Grades by qid and docid."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrecFiles:
    """The files of a collection."""

    run: Path
    """Candidates: a TREC run."""
    qrels: Path
    """Grades."""
    topics: Path
    """Texts of the queries."""
    corpus: Path
    """Texts of the documents."""


def read_trec(name: str, files: TrecFiles, subset: Subset) -> Collection:
    """Read a collection in TREC's formats.

    Raises:
        FileInvalid: a line has another form, or the files belong to different collections.
        OSError: a file cannot be read.
    """
    return assemble(name, files, read_qrels(files.qrels), subset)


def assemble(
    name: str, files: TrecFiles, qrels: Qrels, subset: Subset, *, queries_are_documents: bool = False
) -> Collection:
    """Return the judged queries, in the order of the qrels, each with its candidates from the run.

    `queries_are_documents`: a document with the id of its query is that query, and no candidate.

    Raises:
        FileInvalid: as `read_trec`.
        OSError: as `read_trec`.
    """
    run = read_run(files.run)
    if run.keys().isdisjoint(qrels):
        raise FileInvalid(
            f"{files.run}: none of its queries is judged in {files.qrels}; check that the files belong together"
        )
    candidates = {qid: run.get(qid, []) for qid in islice(qrels, subset.queries)}
    if queries_are_documents:
        candidates = {qid: [docid for docid in docids if docid != qid] for qid, docids in candidates.items()}
    candidates = {qid: docids[: subset.depth] for qid, docids in candidates.items()}
    topics = read_texts(files.topics, {qid for qid, docids in candidates.items() if docids})
    corpus = read_texts(files.corpus, {docid for docids in candidates.values() for docid in docids})
    queries = (
        JudgedQuery(
            f"{files.topics}: id {qid}",
            qid,
            topics.get(qid, ""),
            tuple(Candidate(docid, corpus.get(docid, ""), max(0.0, qrels[qid].get(docid, 0.0))) for docid in docids),
            descending_grades(qrels[qid].values()),
        )
        for qid, docids in candidates.items()
    )
    return Collection(name, tuple(queries), unjudged=len(run.keys() - qrels.keys()))


def read_run(path: Path) -> dict[str, list[str]]:
    """Return the docids by qid, the best first. Scores have 32 bits, as in trec_eval, so the same ones are ties.

    Raises:
        FileInvalid: a line has another form, or a docid is listed twice for a query.
        OSError: the file cannot be read.
    """
    scores: dict[str, dict[str, float]] = {}
    for place, (qid, _, docid, _, score, _) in read_columns(path, 6):
        of_query = scores.setdefault(qid, {})
        if docid in of_query:
            raise FileInvalid(f"{place}: document {excerpt(docid)} is listed twice for query {excerpt(qid)}")
        of_query[docid] = _in_32_bits(read_number(place, score))
    return {qid: _ordered(of_query) for qid, of_query in scores.items()}


def read_qrels(path: Path) -> Qrels:
    """Return the grades by qid and docid.

    Raises:
        FileInvalid: as `collect_qrels`, or a line has another form.
        OSError: the file cannot be read.
    """
    return collect_qrels((place, qid, docid, grade) for place, (qid, _, docid, grade) in read_columns(path, 4))


def collect_qrels(judgements: Iterator[tuple[str, str, str, str]]) -> Qrels:
    """Return the grades by qid and docid. Each judgement is a place, a qid, a docid and a grade. It may be repeated.

    Raises:
        FileInvalid: a grade is no number, or a document has two grades for a query.
    """
    qrels: dict[str, dict[str, float]] = {}
    for place, qid, docid, text in judgements:
        grade = read_number(place, text)
        if (first := qrels.setdefault(qid, {}).setdefault(docid, grade)) != grade:
            raise FileInvalid(
                f"{place}: document {excerpt(docid)} has the grade {excerpt(text)} for query {excerpt(qid)}, and "
                f"{first:g} in a line before"
            )
    return qrels


def read_number(place: str, text: str) -> float:
    """Return a finite number.

    Raises:
        FileInvalid: the text is not a finite number.
    """
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise FileInvalid(f"{place}: {excerpt(text)!r} is not a finite number")
    return value


def _in_32_bits(number: float) -> float:
    with np.errstate(over="ignore"):  # a larger number becomes infinity
        return float(np.float32(number))


def _ordered(scores: Mapping[str, float]) -> list[str]:
    return sorted(sorted(scores, reverse=True), key=lambda docid: -scores[docid])
