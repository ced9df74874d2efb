"""Parquet, by pyarrow."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from rerank_service.error_text import one_line
from rerank_service.errors import FileInvalid
from rerank_service.tools.tables.opening import STDIN, open_binary, shown_path
from rerank_service.tools.tables.record import Record

_NO_PYTHON_TIME = "the row has a time that Python does not have, such as one with nanoseconds"
_NOT_IN_PYTHON = (ValueError, OverflowError)
"""Errors of values that are not UTF-8 (a UnicodeDecodeError), of times with nanoseconds, and of the year 10,000."""
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

    The block may read rows: damage of theirs is an error of the file, too.

    Raises:
        FileInvalid: it is not a Parquet file, or it is damaged.
        OSError: the file cannot be read.
    """
    source: Path | BytesIO = path
    if path == STDIN:
        with open_binary(path) as stdin:
            source = BytesIO(stdin.read())
    try:
        with pq.ParquetFile(source) as file:
            yield file
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        if isinstance(error, OSError) and error.errno is not None:  # of the system: Arrow's own have no number
            raise
        raise FileInvalid(f"{shown_path(path)} is not a Parquet file, or damaged: {one_line(error)}") from error


def parquet_records(file: pq.ParquetFile, names: Sequence[str]) -> Iterator[Record]:
    """Yield the values of the named columns, row by row. `raw` is the place of the row."""
    number = 0
    for batch in file.iter_batches(batch_size=_ROWS_READ):
        columns = [_values(batch.column(name)) for name in names]
        for index, values in enumerate(zip(*columns, strict=True)):
            number += 1
            yield _record(number, Place(batch, index), values)


def _record(number: int, place: Place, values: tuple[Any, ...]) -> Record:
    errors = [value for value in values if isinstance(value, _NOT_IN_PYTHON)]
    if errors:
        text = isinstance(errors[0], UnicodeDecodeError)
        return Record(number, place, error="the row is not UTF-8 text" if text else _NO_PYTHON_TIME)
    return Record(number, place, values)


def _values(column: pa.Array) -> list[Any]:
    """Return the values of a column. A value that Python does not have becomes its error."""
    try:
        return list(column.to_pylist())
    except _NOT_IN_PYTHON:
        return [_value(scalar) for scalar in column]


def _value(scalar: pa.Scalar) -> Any:
    try:
        return scalar.as_py()
    except _NOT_IN_PYTHON as error:
        return error
