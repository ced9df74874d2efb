"""Labels: three forms, one meaning; and what is wrong is told with its line."""

import gzip
import json
from pathlib import Path

import pytest

from rerank_service.errors import CalibrationFailed, FileInvalid
from rerank_service.tools.calibration.labels_file import Labelled, binary, check_enough, read_labels


def _written(path: Path, *lines: object) -> Path:
    path.write_text("".join(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in lines))
    return path


def test_three_forms_say_the_same(tmp_path: Path) -> None:
    """A pair a line, lists, and objects; a query's labels are together, wherever they stand."""
    pairs = [{"query": "q", "document": "a", "label": 1}, {"query": "q", "document": {"text": "b"}, "label": False}]
    lists = [{"query": "q", "documents": ["a", "b"], "labels": [1.0, 0]}]
    objects = [{"query": "q", "documents": [{"text": "a", "label": 1}, {"text": "b", "grade": -1, "id": "7"}]}]
    for lines in (pairs, lists, objects):
        [one] = read_labels(_written(tmp_path / "labels.jsonl", *lines))
        assert (one.query, one.documents, one.labels) == ("q", ("a", "b"), (1, 0))
    apart = read_labels(_written(tmp_path / "labels.jsonl", pairs[0], "", {**pairs[0], "query": "r"}, pairs[1]))
    assert [(one.query, [place.rpartition(":")[2] for place in one.places]) for one in apart] == [
        ("q", ["1", "4"]),
        ("r", ["3"]),
    ]


def test_a_gzipped_file_is_read(tmp_path: Path) -> None:
    """And one that was cut is told of."""
    packed = gzip.compress(b'{"query": "q", "document": "a", "label": 1}\n' * 1000)
    path = tmp_path / "labels.jsonl.gz"
    path.write_bytes(packed)
    assert len(read_labels(path)[0].labels) == 1000
    path.write_bytes(packed[:-20])
    with pytest.raises(FileInvalid, match=r"labels\.jsonl\.gz:\d+: is not whole"):
        read_labels(path)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", "Invalid JSON"),
        ("[]", "object"),
        (b'{"query": "\xff"}', "Invalid JSON"),
        ({"document": "a", "label": 1}, "query: Field required"),
        ({"query": "", "document": "a", "label": 1}, "query: String should have at least 1"),
        ({"query": "q", "label": 1}, "give either document or documents"),
        ({"query": "q", "document": "a", "documents": ["a"], "label": 1}, "give either document or documents"),
        ({"query": "q", "document": "a"}, "document has no label"),
        ({"query": "q", "document": 7, "label": 1}, "document"),
        ({"query": "q", "document": "a", "label": 0.5}, "label: Input should be a valid integer"),
        ({"query": "q", "document": "a", "label": "good"}, "label: Input should be a valid integer"),
        ({"query": "q", "documents": []}, "documents is empty"),
        ({"query": "q", "documents": ["a", "b"], "labels": [1]}, "2 documents and 1 label$"),
        ({"query": "q", "documents": ["a", "b"]}, r"documents\[0\] has no label"),
        ({"query": "q", "documents": [{"text": "a", "label": 1}, {"text": "b"}]}, r"documents\[1\] has no label"),
    ],
)
def test_a_line_of_another_form_is_named(tmp_path: Path, line: object, words: str) -> None:
    """By file and line, and what is wrong with it."""
    path = _written(tmp_path / "labels.jsonl", {"query": "q", "document": "a", "label": 1}, "")
    with path.open("ab") as file:
        file.write(line if isinstance(line, bytes) else (line if isinstance(line, str) else json.dumps(line)).encode())
    with pytest.raises(FileInvalid, match=rf"labels\.jsonl:3: .*{words}"):
        read_labels(path)


def test_grades_are_relevant_from_the_grade_that_is_said() -> None:
    """Where none is said, a grade above 1 is refused at its line."""
    grades = [Labelled("q", ("a", "b", "c"), (0, 1, 2), ("f:1", "f:2", "f:3"))]
    assert binary(grades, 2)[0].labels == (0, 0, 1)
    with pytest.raises(FileInvalid, match=r"f:3: a label is 2, neither 0 nor 1: .*--graded"):
        binary(grades, None)


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ((), "there is none"),
        ((1,) * 100, "all 100 are 1"),
        ((0, 1) * 20, "too few: 40 labels"),
        ((0,) * 91 + (1,) * 9, "too few are 1: 9 labels"),
        ((0,) * 50 + (1,) * 50 + (3,) * 2, "too few are 3: 2 labels"),
    ],
)
def test_labels_that_are_not_enough_are_refused(labels: tuple[int, ...], words: str) -> None:
    """With how many there must be."""
    with pytest.raises(CalibrationFailed, match=words):
        check_enough([Labelled("q", ("a",) * len(labels), labels, ("f:1",) * len(labels))], Path("f"))
