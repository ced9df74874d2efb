"""JSONL: one JSON object per line.

A line is written as it was read, with the added field before its last brace. So all other fields keep their bytes.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import orjson

from rerank_service.tools.batch.formats.text import concatenate
from rerank_service.tools.batch.rows import Columns, Row, ScoredRow, valid_row
from rerank_service.tools.tables.jsonl_records import jsonl_records
from rerank_service.tools.tables.opening import open_binary
from rerank_service.tools.tables.record import Record


class JsonlFormat:
    """Reads and writes JSONL files."""

    unit = "line"

    def __init__(self, path: Path, columns: Columns, *, sort: bool, compress: bool) -> None:
        """`compress` gzips the output."""
        self._path = path
        self._columns = columns
        self._sort = sort
        self._compress = compress

    def count_rows(self) -> int:
        """Return the number of lines that are not blank."""
        with open_binary(self._path) as file:
            return sum(1 for line in file if not line.isspace())

    def read(self) -> Iterator[Row]:
        """Yield the object of each line that is not blank. Lone surrogates become U+FFFD (surrogates.py)."""
        yield from map(self._row, jsonl_records(self._path))

    def _row(self, record: Record) -> Row:
        number, line = record.number, record.raw
        if record.error:
            return Row(number, line, error=record.error)
        if not isinstance(record.value, dict):
            return Row(number, line, error="the line is not a JSON object")
        return self._object(number, line, record.value)

    def _object(self, number: int, line: bytes, value: dict[str, Any]) -> Row:
        columns = self._columns
        names = [name for name in columns.document_names if name in value]
        missing = [columns.query] if columns.query not in value else []
        missing += [] if names else [" or ".join(columns.document_names)]
        if missing:
            return Row(number, line, error=f"the object has no {' and no '.join(missing)}")
        if len(names) > 1:
            return Row(number, line, error=f"the object has both {names[0]} and {names[1]}: remove one of them")
        row = valid_row(number, line, value[columns.query], value[names[0]], (columns.query, names[0]))
        if self._sort and not (row.is_list or row.error):
            return Row(number, line, error="--sort needs a list of documents")
        added = columns.added(is_list=row.is_list, sort=self._sort)
        if added in value:
            return Row(number, line, error=f"the object already has {added}: choose another name with --score-column")
        return row

    def encode(self, rows: Sequence[ScoredRow]) -> bytes:
        """Return the lines of rows with their scores."""
        return b"".join(map(self._line, rows))

    def _line(self, scored: ScoredRow) -> bytes:
        raw: bytes = scored.row.raw
        name = self._columns.added(is_list=scored.row.is_list, sort=self._sort)
        field = orjson.dumps({name: scored.added_value(sort=self._sort)})[1:]
        return raw.removesuffix(b"}").rstrip() + b", " + field + b"\n"

    def join(self, parts: Sequence[Path], target: Path) -> None:
        """Write the lines of all parts into one file."""
        concatenate(b"", parts, target, compress=self._compress)
