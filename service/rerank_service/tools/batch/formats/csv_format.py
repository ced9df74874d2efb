"""CSV and TSV with a header: one pair per row."""

import csv
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rerank_service.errors import FileInvalid
from rerank_service.quantities import counted
from rerank_service.tools.batch.formats.text import concatenate, open_binary
from rerank_service.tools.batch.rows import Columns, Row, ScoredRow, valid_row

if TYPE_CHECKING:
    import _csv

_MAX_FIELD_CHARS = 2**26
"""Maximum characters of a field. A missing closing quote would read the rest of the file into one field."""


class CsvFormat:
    """Reads and writes CSV files. The values of all columns are strings and are written unchanged."""

    unit = "line"

    def __init__(self, path: Path, columns: Columns, *, delimiter: str, compress: bool) -> None:
        """`compress` gzips the output."""
        self._path = path
        self._columns = columns
        self._delimiter = delimiter
        self._compress = compress
        self._added = columns.added(is_list=False, sort=False)

    def count_rows(self) -> int:
        """Return the number of rows below the header."""
        with self._opened() as rows:
            return max(0, sum(1 for row in _skipping_errors(rows) if row) - 1)

    def read(self) -> Iterator[Row]:
        """Yield the rows below the header."""
        with self._opened() as reader:
            header = self._header(reader)
            places = (header.index(self._columns.query), header.index(self._document(header)))
            while True:
                number = reader.line_num + 1
                try:
                    values = next(reader, None)
                except csv.Error as error:
                    yield Row(number, [], error=f"the line is not valid CSV: {error}")
                    continue
                if values is None:
                    return
                if values:
                    yield self._row(number, values, header, places)

    def _row(self, number: int, values: list[str], header: Sequence[str], places: tuple[int, int]) -> Row:
        if len(values) != len(header):
            return Row(number, values, error=f"the line has {counted(len(values), 'column')}, not {len(header)}")
        try:
            "".join(values).encode()
        except UnicodeEncodeError:
            return Row(number, values, error="the line is not UTF-8 text")
        query, document = places
        return valid_row(number, values, values[query], values[document], (header[query], header[document]))

    def _header(self, reader: Iterator[list[str]]) -> list[str]:
        try:
            header = next(reader, [])
        except csv.Error as error:
            raise FileInvalid(f"{self._path}:1: the header is not valid CSV: {error}") from error
        for name in (self._columns.query, self._document(header)):
            if header.count(name) != 1:
                problem = "several columns" if name in header else "no column"
                raise FileInvalid(
                    f"{self._path}:1: the header has {problem} {name}; it has {', '.join(header) or 'no columns'}: "
                    "name the columns with --query-column and --document-column"
                )
        if self._added in header:
            raise FileInvalid(
                f"{self._path}:1: the header already has {self._added}: choose another name with --score-column"
            )
        return header

    def _document(self, header: Sequence[str]) -> str:
        names = self._columns.document_names
        if names[0] not in header and len(names) > 1 and names[1] in header:
            raise FileInvalid(
                f"{self._path}:1: the column {names[1]} is a list, which CSV does not have: use one document per row "
                "in the column document, or JSONL"
            )
        return names[0]

    @contextmanager
    def _opened(self) -> "Iterator[_csv.Reader]":
        """Open the file. Bytes that are not UTF-8 become surrogates."""
        csv.field_size_limit(_MAX_FIELD_CHARS)
        with (
            open_binary(self._path) as file,
            io.TextIOWrapper(file, "utf-8-sig", "surrogateescape", newline="") as text,
        ):
            yield csv.reader(text, delimiter=self._delimiter, strict=True)

    def encode(self, rows: Sequence[ScoredRow]) -> bytes:
        """Return the rows with their scores, without a header."""
        return self._lines([[*scored.row.raw, repr(scored.scores[0])] for scored in rows])

    def join(self, parts: Sequence[Path], target: Path) -> None:
        """Write the header and the rows of all parts into one file."""
        with self._opened() as reader:
            header = self._header(reader)
        concatenate(self._lines([[*header, self._added]]), parts, target, compress=self._compress)

    def _lines(self, rows: Sequence[Sequence[str]]) -> bytes:
        text = io.StringIO()
        csv.writer(text, delimiter=self._delimiter, lineterminator="\n").writerows(rows)
        return text.getvalue().encode()


def _skipping_errors(rows: Iterator[list[str]]) -> Iterator[list[str]]:
    while True:
        try:
            yield next(rows)
        except csv.Error:
            yield ["error"]
        except StopIteration:
            return
