"""Parquet files of `rerank batch`."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rerank_service.errors import FileInvalid
from rerank_service.tools.batch.formats.parquet import ParquetFormat
from rerank_service.tools.batch.rows import Columns
from support.batch_files import errors_of, rewritten


def _file(path: Path, table: pa.Table, columns: Columns | None = None, *, sort: bool = False) -> ParquetFormat:
    pq.write_table(table, path, row_group_size=3)
    return ParquetFormat(path, columns or Columns(), sort=sort)


def _pairs(*documents: Any, **columns: Any) -> pa.Table:
    return pa.table({"query": ["q"] * len(documents), "document": list(documents), **columns})


def test_a_score_is_added_and_other_columns_keep_type_and_value(tmp_path: Path) -> None:
    """Across row groups and parts."""
    other = pa.array([[1], [], None, [4], [5]], pa.list_(pa.int8()))
    table = _pairs("1", "2", "3", "4", "5 6", other=other).replace_schema_metadata({"mine": "kept"})
    rewritten(_file(tmp_path / "in.parquet", table), tmp_path / "out.parquet")
    written = pq.read_table(tmp_path / "out.parquet")
    assert written == table.append_column("score", pa.array([1.0, 2.0, 3.0, 4.0, 11.0]))
    assert written.schema.metadata == {b"mine": b"kept"}


def test_other_columns_may_have_any_name(tmp_path: Path) -> None:
    """A dot is no path, and a name may repeat."""
    table = pa.Table.from_arrays([pa.array([text]) for text in "q1ab"], names=["query", "document", "a.b", "a.b"])
    rewritten(_file(tmp_path / "in.parquet", table), tmp_path / "out.parquet")
    with pq.ParquetFile(tmp_path / "out.parquet") as file:
        assert file.read() == table.append_column("score", pa.array([1.0]))


def test_equal_input_gives_equal_bytes(tmp_path: Path) -> None:
    """So that a job that continues can be compared with one that was never interrupted."""
    source = _file(tmp_path / "in.parquet", _pairs("1", "2", "3"))
    assert rewritten(source, tmp_path / "one") == rewritten(source, tmp_path / "two")


@pytest.mark.parametrize(
    ("sort", "name", "value"),
    [
        (False, "scores", [1.0, 9.0]),
        (True, "ranking", [{"index": 1, "score": 9.0}, {"index": 0, "score": 1.0}]),
    ],
)
def test_a_list_of_documents_gets_scores_or_a_ranking(tmp_path: Path, sort: bool, name: str, value: Any) -> None:
    """Large lists of large strings are lists, too."""
    kind = pa.large_list(pa.large_string())
    table = pa.table({"query": ["q"], "documents": pa.array([["1", "9"]], kind)})
    rewritten(_file(tmp_path / "in.parquet", table, sort=sort), tmp_path / "out.parquet")
    assert pq.read_table(tmp_path / "out.parquet")[name].to_pylist() == [value]


def test_dictionary_columns_are_strings(tmp_path: Path) -> None:
    """pandas writes categories like that."""
    table = pa.table({"query": pa.array(["q", "q"]).dictionary_encode(), "document": ["1", "2"]})
    source = _file(tmp_path / "in.parquet", table)
    assert [row.query for row in source.read()] == ["q", "q"]
    rewritten(source, tmp_path / "out.parquet")
    assert pq.read_table(tmp_path / "out.parquet")["query"].to_pylist() == ["q", "q"]


def test_a_file_without_rows_gets_the_column(tmp_path: Path) -> None:
    """A job writes it even if no row has a score."""
    empty = pa.table({"query": pa.array([], pa.string()), "document": pa.array([], pa.string())})
    rewritten(_file(tmp_path / "in.parquet", empty), tmp_path / "out.parquet")
    assert pq.read_table(tmp_path / "out.parquet").column_names == ["query", "document", "score"]


def test_null_and_bytes_that_are_not_utf_8_are_errors_of_their_rows(tmp_path: Path) -> None:
    """Rows are counted from 1."""
    documents = pa.Array.from_buffers(
        pa.string(), 4, [pa.py_buffer(b"\x0b"), *pa.array([b"1", b"\xff", b"", b"3"], pa.binary()).buffers()[1:]]
    )
    source = _file(tmp_path / "in.parquet", pa.table({"query": ["q"] * 4, "document": documents}))
    assert errors_of(source) == {2: "the row is not UTF-8 text", 3: "document must be a string, not null"}


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (
            pa.table({"question": ["q"], "document": ["d"]}),
            "needs one column query; it has question, document: name the",
        ),
        (
            pa.table({"query": ["q"], "text": ["d"]}),
            "needs one column document or documents; .* with --document-column",
        ),
        (pa.table({"query": [1], "document": ["d"]}), "the column query has the type int64; convert it to string"),
        (pa.table({"query": ["q"], "document": [[1]]}), "the column document has the type int64"),
        (pa.table({"query": ["q"], "document": ["d"], "score": [1]}), "already has a column score"),
    ],
)
def test_a_wrong_schema_is_an_error_of_the_file(tmp_path: Path, table: pa.Table, words: str) -> None:
    """Before any row is scored."""
    with pytest.raises(FileInvalid, match=words):
        _file(tmp_path / "in.parquet", table)


def test_another_file_is_no_parquet(tmp_path: Path) -> None:
    """The name alone does not make one."""
    (tmp_path / "in.parquet").write_text("query,document\n")
    with pytest.raises(FileInvalid, match="is not a Parquet file"):
        ParquetFormat(tmp_path / "in.parquet", Columns(), sort=False)


def test_other_columns_may_be_views(tmp_path: Path) -> None:
    """Polars and DuckDB write such types. Rows with an error between others are left out."""
    views = pa.array(["x", None, "z", "é", "v"], pa.string_view())
    table = pa.table({"query": ["q", "", "q", "q", ""], "document": ["1", "2", "3", "4", "5"], "view": views})
    rewritten(_file(tmp_path / "in.parquet", table), tmp_path / "out.parquet", part_rows=5)
    out = pq.read_table(tmp_path / "out.parquet")
    assert out.column("view").cast(pa.string()).to_pylist() == ["x", "z", "é"]
    assert out.column("score").to_pylist() == [1, 3, 4]
