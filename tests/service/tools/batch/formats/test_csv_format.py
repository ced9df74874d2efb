"""CSV and TSV files of `rerank batch`."""

from pathlib import Path

import pytest

from rerank_service.errors import FileInvalid
from rerank_service.tools.batch.formats.csv_format import CsvFormat
from rerank_service.tools.batch.rows import Columns
from support.batch_files import errors_of, rewritten


def _file(path: Path, content: bytes, columns: Columns | None = None, delimiter: str = ",") -> CsvFormat:
    path.write_bytes(content)
    return CsvFormat(path, columns or Columns(), delimiter=delimiter, compress=False)


def test_a_score_is_added_and_other_values_are_unchanged(tmp_path: Path) -> None:
    """Values keep leading zeros, quotes and line breaks. Spreadsheets write the byte order mark."""
    content = b'\xef\xbb\xbfid,document,query\r\n007,"1\n2","say ""hi"""\r\n008,5,q\r\n'
    written = rewritten(_file(tmp_path / "in.csv", content), tmp_path / "out.csv")
    assert written == b'id,document,query,score\n007,"1\n2","say ""hi""",3.0\n008,5,q,5.0\n'


def test_the_header_is_that_of_the_rows(tmp_path: Path) -> None:
    """Another file may have taken the name of the input since they were read."""
    source = _file(tmp_path / "in.csv", b"query,document,price\n")
    assert not list(source.read())
    (tmp_path / "in.csv").write_bytes(b"query,document,weight\n")
    source.join([], tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_bytes() == b"query,document,price,score\n"


def test_carriage_return_in_a_value_is_quoted(tmp_path: Path) -> None:
    """Readers take it for the end of a line. The writer of Python before 3.13 does not quote it."""
    content = b'query,document,note\nq,1,"a\rb"\nq,2,"c\r\nd"\n'
    written = rewritten(_file(tmp_path / "in.csv", content), tmp_path / "out.csv")
    assert written == b'query,document,note,score\n"q","1","a\rb","1.0"\n"q","2","c\r\nd","2.0"\n'


def test_tsv_and_other_columns(tmp_path: Path) -> None:
    """The delimiter is written, too."""
    source = _file(tmp_path / "in.tsv", b"question\ttext\nq\t4, 5\n", Columns("question", "text", "relevance"), "\t")
    assert rewritten(source, tmp_path / "out.tsv") == b"question\ttext\trelevance\nq\t4, 5\t5.0\n"


def test_errors_have_the_first_line_of_their_row(tmp_path: Path) -> None:
    """A row with line breaks has several lines."""
    content = b'query,document\nq,"1\n2"\nq\nq,\xff\n,d\nq,x"y"\nq,1\n\nq,"a"b\nq,2\n'
    source = _file(tmp_path / "in.csv", content)
    assert errors_of(source) == {
        4: "the line has 1 column, not 2",
        5: "the line is not UTF-8 text",
        6: "query must not be empty",
        10: "the line is not valid CSV: ',' expected after '\"'",
    }
    assert source.count_rows() == 8


@pytest.mark.parametrize(
    ("header", "words"),
    [
        (b"", "the header has no column query; it has no columns: name the columns with --query-column"),
        (b"question,document", "the header has no column query; it has question, document"),
        (b"query,query,document", "the header has several columns query"),
        (b"query,documents", "the column documents is a list, which CSV does not have"),
        (b"query,document,score", "the header already has score: choose another name with --score-column"),
        (b'query,"document', "the header is not valid CSV"),
        (b"query,document,n\xe4me", "the header is not UTF-8 text: save the file as UTF-8"),
    ],
)
def test_a_wrong_header_is_an_error_of_the_file(tmp_path: Path, header: bytes, words: str) -> None:
    """The message names the columns and the option."""
    with pytest.raises(FileInvalid, match=words.replace("(", r"\(")):
        list(_file(tmp_path / "in.csv", header).read())
