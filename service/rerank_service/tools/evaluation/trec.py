"""TREC's forms: a run, `qid Q0 docid rank score tag`, and qrels, `qid 0 docid grade`; texts come from other files.

The order of a run is trec_eval's: by score, the higher first, then by docid, the later in the alphabet first; the rank
that it states is not read.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from rerank_service.errors import FileInvalid
from rerank_service.tools.evaluation.collection import Candidate, Collection, JudgedQuery, Part, best_first
from rerank_service.tools.evaluation.texts import read_texts
from rerank_service.tools.input_files import columns

Qrels = Mapping[str, Mapping[str, float]]
"""Grades by qid and docid."""


@dataclass(frozen=True, slots=True)
class Files:
    """What a collection is read from."""

    run: Path
    qrels: Path
    topics: Path
    corpus: Path


def read_trec(name: str, files: Files, part: Part) -> Collection:
    """A collection in TREC's forms.

    Raises:
        FileInvalid: a line is of another form, or the files belong to different collections.
        OSError: a file cannot be read.
    """
    return assemble(name, files, read_qrels(files.qrels), part)


def assemble(name: str, files: Files, qrels: Qrels, part: Part) -> Collection:
    """Return the judged queries, in the order of the qrels, with the candidates that the run has for each."""
    run = read_run(files.run)
    if run.keys().isdisjoint(qrels):
        raise FileInvalid(f"{files.run}: none of its queries is judged in {files.qrels}")
    candidates = {qid: run.get(qid, [])[: part.depth] for qid in islice(qrels, part.queries)}
    topics = read_texts(files.topics, {qid for qid, some in candidates.items() if some})
    corpus = read_texts(files.corpus, {docid for some in candidates.values() for docid in some})
    queries = (
        JudgedQuery(
            f"{files.topics}: id {qid}",
            qid,
            topics.get(qid, ""),
            tuple(Candidate(docid, corpus.get(docid, ""), max(0.0, qrels[qid].get(docid, 0.0))) for docid in some),
            best_first(qrels[qid].values()),
        )
        for qid, some in candidates.items()
    )
    return Collection(name, tuple(queries), unjudged=len(run.keys() - qrels.keys()))


def read_run(path: Path) -> dict[str, list[str]]:
    """docids by qid, the best first."""
    scores: dict[str, dict[str, float]] = {}
    for place, (qid, _, docid, _, score, _) in columns(path, 6):
        of_query = scores.setdefault(qid, {})
        if docid in of_query:
            raise FileInvalid(f"{place}: {docid} stands twice for query {qid}")
        of_query[docid] = number(place, score)
    return {qid: _ordered(of_query) for qid, of_query in scores.items()}


def read_qrels(path: Path) -> Qrels:
    """Grades by qid and docid."""
    return collected((place, qid, docid, grade) for place, (qid, _, docid, grade) in columns(path, 4))


def collected(judgements: Iterator[tuple[str, str, str, str]]) -> Qrels:
    """Of places, qids, docids and grades."""
    qrels: dict[str, dict[str, float]] = {}
    for place, qid, docid, grade in judgements:
        qrels.setdefault(qid, {})[docid] = number(place, grade)
    return qrels


def number(place: str, text: str) -> float:
    """A finite one.

    Raises:
        FileInvalid: it is none.
    """
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise FileInvalid(f"{place}: {text!r} is no number")
    return value


def _ordered(scores: Mapping[str, float]) -> list[str]:
    return sorted(sorted(scores, reverse=True), key=lambda docid: -scores[docid])
