"""The output of `rerank rank --output tsv` is read as it was written."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerank.v1 import rerank_pb2 as pb
from rerank_service.cli.output.ranking import tsv_lines
from rerank_service.errors import FileInvalid
from rerank_service.tools.documents_file import DocumentColumns, FileDocument, read_documents
from rerank_service.tools.tables.escaped_tsv import COLUMNS, is_ranking, row, values

_TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)
_HARD = ["a\tb", "a\nb\r\nc", "\\t", "\\", '"quoted" text', '"', "\\\\n", "\u2028\x85\x0b", " spaces "]


def _written(folder: Path, documents: list[str]) -> Path:
    ranked = [FileDocument(text, text, id=str(number)) for number, text in enumerate(documents)]
    response = pb.RerankResponse(results=[pb.Result(index=index) for index in range(len(documents))])
    path = folder / "out.tsv"
    path.write_text("".join(f"{line}\n" for line in tsv_lines(ranked, response)), encoding="utf-8", newline="")
    return path


def _read(path: Path) -> list[str]:
    return [document.text for document in read_documents(path, "tsv", DocumentColumns())]


def test_texts_are_read_as_they_were_ranked(tmp_path: Path) -> None:
    """With their ids. Each result is one line."""
    path = _written(tmp_path, _HARD)
    assert len(path.read_bytes().split(b"\n")) == len(_HARD) + 2
    documents = list(read_documents(path, "tsv", DocumentColumns()))
    assert [document.text for document in documents] == _HARD
    assert [document.id for document in documents] == [str(number) for number in range(len(_HARD))]


def test_empty_ids_are_no_ids(tmp_path: Path) -> None:
    """A ranking of texts without ids has an empty column."""
    path = tmp_path / "out.tsv"
    path.write_text(f"{row(COLUMNS)}\n{row(['1', '0', '', '0.5', '1', '', '', 'false', 'a'])}\n")
    assert list(read_documents(path, "tsv", DocumentColumns())) == [FileDocument("a", "a", id=None)]


@given(st.lists(_TEXTS, min_size=1, max_size=5))
def test_any_text_survives(texts: list[str]) -> None:
    """A row is the inverse of its values."""
    assert values(row(texts)) == texts
    assert "\n" not in row(texts)


def test_other_tsv_files_have_quotes(tmp_path: Path) -> None:
    """As spreadsheets write them: a backslash is text."""
    path = tmp_path / "sheet.tsv"
    path.write_text('id\tdocument\n1\t"a\tb"\n2\tC:\\temp\n')
    assert _read(path) == ["a\tb", "C:\\temp"]
    assert not is_ranking("rank\tdocument\n")


def test_damaged_ranking_names_the_line(tmp_path: Path) -> None:
    """Blank lines are left out, and CR LF ends a line, too."""
    path = tmp_path / "out.tsv"
    path.write_bytes("\t".join(COLUMNS).encode() + b"\r\n\r\n1\t0\t\t0.5\t1\t\t\tfalse\ta\\tb\r\n1\t2\r\n")
    documents = read_documents(path, "tsv", DocumentColumns())
    assert next(documents).text == "a\tb"
    with pytest.raises(FileInvalid, match=r"out\.tsv:4: the line has 2 columns, not 9"):
        next(documents)
