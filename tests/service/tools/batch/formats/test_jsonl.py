"""JSONL files of `rerank batch`."""

import gzip
from pathlib import Path

import pytest

from rerank_service.errors import FileInvalid
from rerank_service.tools.batch.formats.jsonl import JsonlFormat
from rerank_service.tools.batch.rows import Columns, Row, ScoredRow
from support.batch_files import errors_of, rewritten


def _file(path: Path, *lines: bytes, columns: Columns | None = None, sort: bool = False) -> JsonlFormat:
    path.write_bytes(b"\n".join(lines))
    return JsonlFormat(path, columns or Columns(), sort=sort, compress=False)


def test_other_fields_keep_their_bytes(tmp_path: Path) -> None:
    """Numbers, spaces, escapes and the order of fields are written as they were read."""
    line = b'{"id": 1e5,  "big": 12345678901234567890123, "query": "q", "document": "1 2", "x": "\\u00e4"  }  '
    written = rewritten(_file(tmp_path / "in.jsonl", line), tmp_path / "out.jsonl")
    assert written == line.rstrip().removesuffix(b"}").rstrip() + b', "score":3.0}\n'


def test_a_list_of_documents_gets_a_list_of_scores(tmp_path: Path) -> None:
    """In the order of the documents."""
    source = _file(tmp_path / "in.jsonl", b'{"query": "q", "documents": ["1", "9", "5"]}')
    assert rewritten(source, tmp_path / "out.jsonl").endswith(b', "scores":[1.0,9.0,5.0]}\n')


def test_sort_writes_the_ranking(tmp_path: Path) -> None:
    """Best first; equal scores in the order of the documents."""
    source = _file(tmp_path / "in.jsonl", b'{"query": "q", "documents": ["1", "9", "1"]}', sort=True)
    ranking = b'[{"index":1,"score":9.0},{"index":0,"score":1.0},{"index":2,"score":1.0}]'
    assert rewritten(source, tmp_path / "out.jsonl").endswith(b', "ranking":' + ranking + b"}\n")


def test_sort_needs_lists(tmp_path: Path) -> None:
    """A pair has no ranking."""
    lines = (b'{"query": "q", "document": "1"}', b'{"query": "q", "documents": ["1"]}')
    assert errors_of(_file(tmp_path / "in.jsonl", *lines, sort=True)) == {1: "--sort needs a list of documents"}


def test_ranking_has_the_order_of_the_logits() -> None:
    """A calibration may give several logits the same score."""
    row = Row(1, b"", "q", ["a", "b"], is_list=True)
    value = ScoredRow(row, [0.1, 0.1], [-9.0, -3.0]).added_value(sort=True)
    assert value == [{"index": 1, "score": 0.1}, {"index": 0, "score": 0.1}]
    value = ScoredRow(row, [0.1, 0.2], [0.0, -9.0]).added_value(sort=True)  # ranks of two requests
    assert [each["index"] for each in value] == [1, 0]


def test_columns_have_the_given_names(tmp_path: Path) -> None:
    """The type of the value decides between a pair and a list."""
    columns = Columns("question", "text", "relevance")
    lines = (b'{"question": "q", "text": "4"}', b'{"question": "q", "text": ["4", "5"]}')
    written = rewritten(_file(tmp_path / "in.jsonl", *lines, columns=columns), tmp_path / "out.jsonl")
    assert [line.partition(b'"relevance":')[2] for line in written.splitlines()] == [b"4.0}", b"[4.0,5.0]}"]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"broken", "the line is not valid JSON"),
        (b'{"query": "q", "document": "d"', "the line is not valid JSON"),
        (b'{"query": "q", "document": "\xff"}', "not UTF-8"),
        (b'{"query": "q", "document": NaN}', "the line is not valid JSON"),
        (b"[" * 100_000, "the line is not valid JSON"),
        (b"[1]", "the line is not a JSON object"),
        (b"{}", "the object has no query and no document or documents"),
        (b'{"document": "d"}', "the object has no query"),
        (b'{"query": "q"}', "the object has no document or documents"),
        (b'{"query": "q", "document": "d", "documents": ["d"]}', "both document and documents: remove one of them"),
        (b'{"query": 5, "document": "d"}', "query must be a string, not a number"),
        (b'{"query": "", "document": "d"}', "query must not be empty"),
        (b'{"query": "q", "document": null}', "document must be a string, not null"),
        (b'{"query": "q", "documents": []}', "documents must not be empty"),
        (b'{"query": "q", "documents": ["d", {"text": "x"}]}', "documents[1] must be a string, not an object"),
        (b'{"query": "q", "document": "d", "score": 1}', "already has score: choose another name with --score-column"),
        (b'{"query": "q", "documents": ["d"], "scores": 1}', "already has scores"),
    ],
)
def test_an_invalid_line_is_an_error_of_its_row(tmp_path: Path, line: bytes, words: str) -> None:
    """The lines around it are scored."""
    good = b'{"query": "q", "document": "1"}'
    source = _file(tmp_path / "in.jsonl", good, b"", line, good)
    ((number, error),) = errors_of(source).items()
    assert number == 3
    assert words in error
    assert rewritten(source, tmp_path / "out.jsonl").count(b"\n") == 2


@pytest.mark.parametrize("lone", [b"\\ud83d", b"\xed\xa0\xbd"], ids=["escape", "CESU-8"])
def test_a_lone_surrogate_becomes_u_fffd(tmp_path: Path, lone: bytes) -> None:
    """The row is scored, and written as valid JSON, as a request is (surrogates.py)."""
    source = _file(tmp_path / "in.jsonl", b'{"query": "' + lone + b'", "document": "1"}')
    (row,) = source.read()
    assert (row.query, row.error) == ("\ufffd", "")
    assert b"score" in rewritten(source, tmp_path / "out.jsonl")


def test_a_byte_order_mark_is_not_part_of_the_first_line(tmp_path: Path) -> None:
    """Windows programs write it."""
    assert not errors_of(_file(tmp_path / "in.jsonl", b'\xef\xbb\xbf{"query": "q", "document": "1"}\r'))


def test_gzip_is_read_and_written(tmp_path: Path) -> None:
    """Equal rows give equal bytes: the header of gzip has no time and no name."""
    path = tmp_path / "in.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"query": "q", "document": "1"}\n'))
    source = JsonlFormat(path, Columns(), sort=False, compress=True)
    assert source.count_rows() == 1
    written = [rewritten(source, tmp_path / name) for name in ("one.gz", "two.gz")]
    assert written[0] == written[1]
    assert gzip.decompress(written[0]) == b'{"query": "q", "document": "1", "score":1.0}\n'


def test_damaged_gzip_is_an_error_of_the_file(tmp_path: Path) -> None:
    """The end of the file is missing."""
    path = tmp_path / "in.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"query": "q", "document": "1"}\n')[:-9])
    with pytest.raises(FileInvalid, match="gzip data is damaged"):
        list(JsonlFormat(path, Columns(), sort=False, compress=True).read())
