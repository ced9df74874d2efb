"""Collections in BEIR's folder layout (https://github.com/beir-cellar/beir): `corpus.jsonl`, `queries.jsonl` and
`qrels/<split>.tsv`.

The qrels file starts with a line of headings. BEIR has no candidates: they come from a TREC run, by default `run.trec`
in the folder. A candidate with the id of its query is left out, as `EvaluateRetrieval.evaluate` of BEIR does: in
ArguAna, the queries are documents of the corpus.
"""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from rerank_service.errors import FileInvalid
from rerank_service.tools.evaluation.collection import Collection, Subset
from rerank_service.tools.evaluation.trec import TrecFiles, assemble, collect_qrels
from rerank_service.tools.input_files import read_columns

RUN = "run.trec"


def read_beir(folder: Path, subset: Subset, *, run: Path | None = None, split: str = "test") -> Collection:
    """Read a collection in BEIR's layout.

    Raises:
        FileInvalid: a file is missing, a line has another form, or the files belong to different collections.
        OSError: a file cannot be read.
    """
    qrels, topics, corpus = folder / "qrels" / f"{split}.tsv", _jsonl(folder, "queries"), _jsonl(folder, "corpus")
    run = run or folder / RUN
    if not run.is_file():
        raise FileInvalid(f"{run}: no such file; give the candidates as a TREC run with --candidates")
    files = TrecFiles(run=run, qrels=qrels, topics=topics, corpus=corpus)
    judged = collect_qrels(_judgements(qrels))
    return assemble(folder.resolve().name, files, judged, subset, queries_are_documents=True)


def _judgements(qrels: Path) -> Iterator[tuple[str, str, str, str]]:
    """Yield the place, qid, docid and grade of each line after the headings."""
    for place, (qid, docid, grade) in islice(read_columns(qrels, 3, separator=b"\t"), 1, None):
        yield place, qid, docid, grade


def _jsonl(folder: Path, name: str) -> Path:
    """Return the path of NAME.jsonl or NAME.jsonl.gz."""
    plain, gzipped = folder / f"{name}.jsonl", folder / f"{name}.jsonl.gz"
    if not plain.is_file() and not gzipped.is_file():
        raise FileInvalid(f"{folder}: not a collection in BEIR's layout: {plain.name} is missing")
    return plain if plain.is_file() else gzipped
