"""Parquet, by pyarrow."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from rerank_service.errors import FileInvalid
from rerank_service.tools.tables.opening import STDIN, open_binary, shown_path
from rerank_service.tools.tables.record import Record

_NANOSECONDS = "the row has a time that Python does not have, such as one with nanoseconds"
_ROWS_READ = 1024
"""Rows that are read at a time, within a row group."""


@dataclass(frozen=True, slots=True, eq=False)
class Place:
    """A row of a record batch."""

    batch: pa.RecordBatch
    index: int


@contextmanager
def open_parquet(path: Path) -> Iterator[pq.ParquetFile]:
    """Open a file. Standard input is read into memory first, because Parquet is read from its end.

    Raises:
        FileInvalid: it is not a Parquet file.
        OSError: the file cannot be read.
    """
    source: Path | BytesIO = path
    if path == STDIN:
        with open_binary(path) as stdin:
            source = BytesIO(stdin.read())
    try:
        file = pq.ParquetFile(source)
    except pa.ArrowInvalid as error:
        raise FileInvalid(f"{shown_path(path)} is not a Parquet file: {error}") from error
    with file:
        yield file


def parquet_records(file: pq.ParquetFile, names: Sequence[str]) -> Iterator[Record]:
    """Yield the values of the named columns, row by row. `raw` is the place of the row."""
    number = 0
    for batch in file.iter_batches(batch_size=_ROWS_READ):
        columns = [_values(batch.column(name)) for name in names]
        for index, values in enumerate(zip(*columns, strict=True)):
            number += 1
            yield _record(number, Place(batch, index), values)


def _record(number: int, place: Place, values: tuple[Any, ...]) -> Record:
    errors = [value for value in values if isinstance(value, ValueError)]
    if errors:
        text = isinstance(errors[0], UnicodeDecodeError)
        return Record(number, place, error="the row is not UTF-8 text" if text else _NANOSECONDS)
    return Record(number, place, values)


def _values(column: pa.Array) -> list[Any]:
    """Return the values of a column. A value that is not UTF-8, or a time with nanoseconds, becomes its error."""
    try:
        return list(column.to_pylist())
    except ValueError:  # also a UnicodeDecodeError
        return [_value(scalar) for scalar in column]


def _value(scalar: pa.Scalar) -> Any:
    try:
        return scalar.as_py()
    except ValueError as error:
        return error
