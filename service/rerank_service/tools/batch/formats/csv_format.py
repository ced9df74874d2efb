"""CSV and TSV with a header: one pair per row."""

import csv
import io
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from rerank_service.errors import FileInvalid
from rerank_service.tools.batch.formats.text import concatenate
from rerank_service.tools.batch.rows import Columns, Row, ScoredRow, valid_row
from rerank_service.tools.tables.column_names import shown_columns
from rerank_service.tools.tables.csv_records import RowReader, count_records, csv_header, csv_records, open_csv
from rerank_service.tools.tables.record import Record


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
        self._read_header: Sequence[str] = ()

    def count_rows(self) -> int:
        """Return the number of rows below the header."""
        with self._opened() as reader:
            return count_records(reader)

    def read(self) -> Iterator[Row]:
        """Yield the rows below the header."""
        with self._opened() as reader:
            header = self._read_header = self._header(reader)
            places = (header.index(self._columns.query), header.index(self._document(header)))
            for record in csv_records(reader, header):
                yield self._row(record, header, places)

    def _row(self, record: Record, header: Sequence[str], places: tuple[int, int]) -> Row:
        if record.error:
            return Row(record.number, record.raw, error=record.error)
        query, document = places
        values = record.value
        return valid_row(record.number, values, values[query], values[document], (header[query], header[document]))

    def _opened(self) -> AbstractContextManager[RowReader]:
        return open_csv(self._path, self._delimiter)

    def _header(self, reader: RowReader) -> list[str]:
        header = csv_header(reader, self._path)
        for name in (self._columns.query, self._document(header)):
            if header.count(name) != 1:
                problem = "several columns" if name in header else "no column"
                raise FileInvalid(
                    f"{self._path}:1: the header has {problem} {name}; it has {shown_columns(header) or 'no columns'}: "
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

    def encode(self, rows: Sequence[ScoredRow]) -> bytes:
        """Return the rows with their scores, without a header."""
        return self._lines([[*scored.row.raw, repr(scored.scores[0])] for scored in rows])

    def join(self, parts: Sequence[Path], target: Path) -> None:
        """Write the header that `read` has found, and the rows of all parts, into one file."""
        concatenate(self._lines([[*self._read_header, self._added]]), parts, target, compress=self._compress)

    def _lines(self, rows: Sequence[Sequence[str]]) -> bytes:
        text = io.StringIO()
        bare, quoted = (
            csv.writer(text, delimiter=self._delimiter, lineterminator="\n", quoting=quoting)
            for quoting in (csv.QUOTE_MINIMAL, csv.QUOTE_ALL)
        )
        for (
            row
        ) in rows:  # before Python 3.13, the writer does not quote a carriage return, which readers take for a line end
            (quoted if any("\r" in value for value in row) else bare).writerow(row)
        return text.getvalue().encode()
