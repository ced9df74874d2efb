"""BEIR's folder layout: corpus.jsonl, queries.jsonl and qrels/<split>.tsv, the last with a line of headings. It has no
candidates, so a TREC run stands beside: run.trec in the folder, unless another is named."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from rerank_service.errors import FileInvalid
from rerank_service.tools.evaluation.collection import Collection, Part
from rerank_service.tools.evaluation.trec import Files, assemble, collected
from rerank_service.tools.input_files import columns

RUN = "run.trec"


def read_beir(folder: Path, part: Part, *, run: Path | None = None, split: str = "test") -> Collection:
    """A collection in BEIR's layout.

    Raises:
        FileInvalid: a file is missing, a line is of another form, or the files belong to different collections.
        OSError: a file cannot be read.
    """
    qrels, topics, corpus = folder / "qrels" / f"{split}.tsv", _there(folder, "queries"), _there(folder, "corpus")
    run = run or folder / RUN
    if not run.is_file():
        raise FileInvalid(f"{run}: there is none, so nothing says what the candidates are: give a TREC run")
    files = Files(run, qrels, topics, corpus)
    return assemble(folder.resolve().name, files, collected(_judgements(qrels)), part)


def _judgements(qrels: Path) -> Iterator[tuple[str, str, str, str]]:
    """But for the headings."""
    for place, (qid, docid, grade) in islice(columns(qrels, 3, separator=b"\t"), 1, None):
        yield place, qid, docid, grade


def _there(folder: Path, name: str) -> Path:
    plain, packed = folder / f"{name}.jsonl", folder / f"{name}.jsonl.gz"
    if not plain.is_file() and not packed.is_file():
        raise FileInvalid(f"{folder}: is no collection in BEIR's layout: there is no {plain.name}")
    return plain if plain.is_file() else packed
