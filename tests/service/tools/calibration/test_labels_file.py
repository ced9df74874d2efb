"""Labels files: three forms with the same meaning; errors name the line."""

import gzip
import hashlib
import json
from pathlib import Path

import pytest

from rerank_service.errors import CalibrationFailed, FileInvalid
from rerank_service.tools.calibration.labels_file import LabelledQuery, binary_labels, check_enough_labels, read_labels


def _written(path: Path, *lines: object) -> Path:
    path.write_text("".join(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in lines))
    return path


def test_three_forms_have_the_same_meaning(tmp_path: Path) -> None:
    """One pair per line, lists, and objects. Lines of a query are joined, wherever they stand."""
    pairs = [{"query": "q", "document": "a", "label": 1}, {"query": "q", "document": {"text": "b"}, "label": False}]
    lists = [{"query": "q", "documents": ["a", "b"], "labels": [1.0, 0]}]
    objects = [{"query": "q", "documents": [{"text": "a", "label": 1}, {"text": "b", "grade": -1, "id": "7"}]}]
    for lines in (pairs, lists, objects):
        [query] = read_labels(_written(tmp_path / "labels.jsonl", *lines)).queries
        assert (query.query, query.documents, query.labels) == ("q", ("a", "b"), (1, 0))
    queries = read_labels(
        _written(tmp_path / "labels.jsonl", pairs[0], "", {**pairs[0], "query": "r"}, pairs[1])
    ).queries
    assert [(query.query, [place.rpartition(":")[2] for place in query.places]) for query in queries] == [
        ("q", ["1", "4"]),
        ("r", ["3"]),
    ]


def test_a_gzipped_file_is_read(tmp_path: Path) -> None:
    """A truncated file is rejected."""
    compressed = gzip.compress(b'{"query": "q", "document": "a", "label": 1}\n' * 1000)
    path = tmp_path / "labels.jsonl.gz"
    path.write_bytes(compressed)
    labels = read_labels(path)
    assert len(labels.queries[0].labels) == 1000
    assert labels.sha256 == hashlib.sha256(compressed).hexdigest()
    path.write_bytes(compressed[:-20])
    with pytest.raises(FileInvalid, match=r"labels\.jsonl\.gz:\d+: the gzip data is damaged or incomplete"):
        read_labels(path)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", "Invalid JSON.*: each line must be a JSON object with query"),
        ("[]", "object"),
        (b'{"query": "\xff"}', "Invalid JSON"),
        ({"document": "a", "label": 1}, "query is required: each line needs query"),
        ({"query": "", "document": "a", "label": 1}, "query: String should have at least 1"),
        ({"query": "q", "label": 1}, "set either document or documents"),
        ({"query": "q", "document": "a", "documents": ["a"], "label": 1}, "set either document or documents"),
        ({"query": "q", "document": "a"}, "document has no label"),
        ({"query": "q", "document": 7, "label": 1}, "document"),
        ({"query": "q", "document": "a", "label": 0.5}, "label: Input should be a valid integer"),
        ({"query": "q", "document": "a", "label": "good"}, "label: Input should be a valid integer"),
        ({"query": "q", "documents": []}, "documents is empty"),
        (
            {"query": "q", "documents": ["a", "b"], "labels": [1]},
            "labels has 1 element, and documents has 2; give one",
        ),
        ({"query": "q", "documents": ["a", "b"]}, r"documents\[0\] has no label"),
        ({"query": "q", "documents": [{"text": "a", "label": 1}, {"text": "b"}]}, r"documents\[1\] has no label"),
    ],
)
def test_error_names_the_line(tmp_path: Path, line: object, words: str) -> None:
    """The error has the file, the line and the reason."""
    path = _written(tmp_path / "labels.jsonl", {"query": "q", "document": "a", "label": 1}, "")
    with path.open("ab") as file:
        file.write(line if isinstance(line, bytes) else (line if isinstance(line, str) else json.dumps(line)).encode())
    with pytest.raises(FileInvalid, match=rf"labels\.jsonl:3: .*{words}"):
        read_labels(path)


@pytest.mark.parametrize(
    ("line", "first"),
    [
        ({"query": "q", "document": "a", "label": 2}, 1),
        ({"query": "q", "documents": ["b", {"text": "a"}], "labels": [0, 0]}, 1),
        ({"query": "s", "documents": ["a", "a"], "labels": [1, 2]}, 4),
    ],
)
def test_document_has_one_label_for_a_query(tmp_path: Path, line: dict[str, object], first: int) -> None:
    """The error names both lines. The same label may be repeated, and other queries may have another label."""
    pair = {"query": "q", "document": "a", "label": 1}
    lines = [pair, {**pair, "query": "r", "label": 0}, pair]
    path = _written(tmp_path / "labels.jsonl", *lines)
    assert [query.labels for query in read_labels(path).queries] == [(1, 1), (0,)]
    _written(path, *lines, line)
    words = (
        rf"labels\.jsonl:4: document 'a' has the label \d for query '[qs]', and 1 in .*labels\.jsonl:{first}: keep one"
    )
    with pytest.raises(FileInvalid, match=words):
        read_labels(path)


def test_grades_become_binary_labels_at_the_given_grade() -> None:
    """Without `relevant_from` a label greater than 1 is rejected, with its line."""
    grades = [LabelledQuery("q", ("a", "b", "c"), (0, 1, 2), ("f:1", "f:2", "f:3"))]
    assert binary_labels(grades, 2)[0].labels == (0, 0, 1)
    with pytest.raises(FileInvalid, match=r"f:3: label is 2, not 0 or 1; .*--graded"):
        binary_labels(grades, None)


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ((), "the file has no labels"),
        ((1,) * 100, "all 100 are 1"),
        ((0, 1) * 20, "too few labels: 40 labels"),
        ((0,) * 91 + (1,) * 9, "too few labels are 1: 9 labels"),
        ((0,) * 50 + (1,) * 50 + (3,) * 2, "too few labels are 3: 2 labels"),
    ],
)
def test_too_few_labels_are_rejected(labels: tuple[int, ...], words: str) -> None:
    """The error has the required number."""
    with pytest.raises(CalibrationFailed, match=words):
        check_enough_labels([LabelledQuery("q", ("a",) * len(labels), labels, ("f:1",) * len(labels))], Path("f"))
