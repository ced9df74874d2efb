"""Parquet, by pyarrow: a pair per row (string columns), or a list of documents per row (list of strings)."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from rerank_service.errors import FileInvalid
from rerank_service.tools.batch.rows import Columns, Row, ScoredRow, valid_row
from rerank_service.tools.tables.column_names import shown_columns
from rerank_service.tools.tables.parquet_records import open_parquet, parquet_records


class ParquetFormat:
    """Reads and writes Parquet files. All other columns keep their types and values."""

    unit = "row"

    def __init__(self, path: Path, columns: Columns, *, sort: bool) -> None:
        """Read the schema.

        Raises:
            FileInvalid: it is no Parquet file, or a column is missing or has another type.
            OSError: the file cannot be read.
        """
        self._path = path
        self._sort = sort
        with open_parquet(path) as file:
            self._schema, self._rows = file.schema_arrow, file.metadata.num_rows
        self._query = self._column((columns.query,), "--query-column")
        self._document = self._column(columns.document_names, "--document-column")
        self._is_list = self._check_types()
        if sort and not self._is_list:
            raise FileInvalid(f"{path} has one document per row, but --sort needs a list of documents: leave it out")
        self._added = columns.added(is_list=self._is_list, sort=sort)
        if self._added in self._schema.names:
            raise FileInvalid(f"{path} already has a column {self._added}: choose another name with --score-column")

    def _column(self, names: Sequence[str], option: str) -> str:
        found = [name for name in names if self._schema.names.count(name) == 1]
        if len(found) != 1:
            raise FileInvalid(
                f"{self._path} needs one column {' or '.join(names)}; it has {shown_columns(self._schema.names)}: "
                f"name the column with {option}"
            )
        return found[0]

    def _check_types(self) -> bool:
        """Return True if the documents are lists."""
        query, document = self._schema.field(self._query).type, self._schema.field(self._document).type
        is_list = bool(pa.types.is_list(document) or pa.types.is_large_list(document))
        for name, found in ((self._query, query), (self._document, document.value_type if is_list else document)):
            if not _is_string(found):
                raise FileInvalid(f"{self._path}: the column {name} has the type {found}; convert it to string")
        return is_list

    def count_rows(self) -> int:
        """Return the number of rows."""
        return int(self._rows)

    def read(self) -> Iterator[Row]:
        """Yield the rows."""
        names = (self._query, self._document)
        with open_parquet(self._path) as file:
            for record in parquet_records(file, names):
                if record.error:
                    yield Row(record.number, record.raw, error=record.error)
                else:
                    query, document = record.value
                    yield valid_row(record.number, record.raw, query, document, names)

    def encode(self, rows: Sequence[ScoredRow]) -> bytes:
        """Return a Parquet file of rows with their scores."""
        batches = [
            part
            for batch, group in groupby(rows, key=lambda scored: scored.row.raw.batch)
            for part in _rows_of(batch, [scored.row.raw.index for scored in group])
        ]
        values = [scored.added_value(sort=self._sort) for scored in rows]
        table = pa.Table.from_batches(batches, self._schema)
        with pa.BufferOutputStream() as sink:
            pq.write_table(table.append_column(self._field(), pa.array(values, self._field().type)), sink)
            return bytes(sink.getvalue())

    def _field(self) -> pa.Field:
        if not self._is_list:
            kind = pa.float64()
        elif self._sort:
            kind = pa.list_(pa.struct([("index", pa.int64()), ("score", pa.float64())]))
        else:
            kind = pa.list_(pa.float64())
        return pa.field(self._added, kind)

    def join(self, parts: Sequence[Path], target: Path) -> None:
        """Write the rows of all parts into one file, each part as a row group."""
        with pq.ParquetWriter(target, self._schema.append(self._field())) as writer:
            for part in parts:
                with pq.ParquetFile(part) as file:  # `read_table` takes a dot in a name for a path
                    writer.write_table(file.read())


def _is_string(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _rows_of(batch: pa.RecordBatch, indexes: Sequence[int]) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a batch at ascending indexes, as slices: `take` does not have all types, such as views."""
    start = 0
    for end in range(1, len(indexes) + 1):
        if end == len(indexes) or indexes[end] != indexes[end - 1] + 1:
            yield batch.slice(indexes[start], end - start)
            start = end
