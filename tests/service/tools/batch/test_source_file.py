"""An input that is written, replaced or deleted while a job reads it."""

import os
from collections.abc import Callable, Iterator, Mapping
from itertools import count
from pathlib import Path

import numpy as np
import pytest

from rerank_service.errors import FileInvalid
from rerank_service.tools.batch import source_file
from rerank_service.tools.batch.formats.csv_format import CsvFormat
from rerank_service.tools.batch.job import Job, run, unfinished_parts
from rerank_service.tools.batch.job_identity import input_digest
from rerank_service.tools.batch.pair_scores import PairScores
from rerank_service.tools.batch.part_store import Counts, PartStore
from rerank_service.tools.batch.parts import Part
from rerank_service.tools.batch.rows import Columns
from rerank_service.tools.batch.source_file import SourceFile

_BEFORE = b"query,document,price\nq,1,7\nq,2,8\nq,3,9\n"
_AFTER = b"query,document,weight\nq,4,7\nq,5,8\nq,6,9\n"
_SCORED = b"query,document,price,score\nq,1,7,1.0\nq,2,8,2.0\nq,3,9,3.0\n"


def _run(folder: Path, change: Callable[[Path], object], *, before_part: int) -> None:
    """Run a job with three parts, and change its input before one of them is scored; the fourth means the join."""
    path, store = folder / "in.csv", PartStore(folder / "out.csv")
    file_format = CsvFormat(path, Columns(), delimiter=",", compress=False)
    job = Job(source=path, file_format=file_format, part_pairs=1, strict=False)
    source = SourceFile(path)

    def score(job: Job, finished: Mapping[int, Counts]) -> Iterator[tuple[Part, PairScores]]:
        for part in unfinished_parts(job, finished):
            if part.number == before_part:
                change(path)
            scores = np.array([float(document) for document in part.pairs.documents])
            yield part, PairScores(scores, scores)
        if before_part == 3:
            change(path)

    with store.opened({"IN": source.digest}, restart=False):
        run(job, store, score, lambda *_, **__: None, count().__next__, source.check)


def _replace(path: Path, content: bytes = _AFTER) -> None:
    new = path.with_name("new.csv")
    new.write_bytes(content)
    os.utime(new, ns=(0, path.stat().st_mtime_ns))  # the time alone does not show a change
    new.replace(path)


def _fail(path: Path) -> None:
    path.write_bytes(_AFTER)
    raise ValueError("the content has two halves")


@pytest.mark.parametrize("before_part", [1, 3])
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_replace, "has changed since the job began. Finished parts are kept: continue with "),
        (lambda path: path.write_bytes(_AFTER), "has changed since the job began. "),
        (_fail, "has changed since the job began. "),
        (Path.unlink, "cannot be read any more: No such file or directory. Finished parts are kept: "),
    ],
    ids=["replaced", "written", "unreadable", "deleted"],
)
def test_a_change_ends_the_job(tmp_path: Path, change: Callable[[Path], object], words: str, before_part: int) -> None:
    """No part has rows of two files, and the header belongs to the rows. The job continues with the first content."""
    (tmp_path / "in.csv").write_bytes(_BEFORE)
    with pytest.raises(FileInvalid) as raised:
        _run(tmp_path, change, before_part=before_part)
    assert str(raised.value).startswith(f"{tmp_path / 'in.csv'} {words}")
    assert len(list((tmp_path / "out.csv.parts").glob("*.done"))) == before_part
    assert not (tmp_path / "out.csv").exists()
    (tmp_path / "in.csv").write_bytes(_BEFORE)
    _run(tmp_path, Path.exists, before_part=3)
    assert (tmp_path / "out.csv").read_bytes() == _SCORED


def test_a_file_whose_inode_changes_again_and_again_is_read_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some network file systems do that. A write is still noticed."""
    path, reads = tmp_path / "in.csv", count(1)
    path.write_bytes(_BEFORE)

    def digest(path: Path) -> str:
        next(reads)
        return input_digest(path)

    monkeypatch.setattr(source_file, "input_digest", digest)
    source = SourceFile(path)
    for _ in range(5):
        _replace(path, _BEFORE)
        source.check()
    assert next(reads) == 3
    path.write_bytes(_AFTER + b"q,7,1\n")
    for _ in range(2):  # the second check reads nothing
        with pytest.raises(FileInvalid, match="has changed since the job began"):
            source.check()
    assert next(reads) == 5


def test_a_copy_of_the_same_content_is_no_change(tmp_path: Path) -> None:
    """It has another inode or another time. It is read once."""
    (tmp_path / "in.csv").write_bytes(_BEFORE)
    _run(tmp_path, lambda path: _replace(path, _BEFORE), before_part=1)
    assert (tmp_path / "out.csv").read_bytes() == _SCORED
