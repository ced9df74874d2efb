"""CSV and TSV with a header. All values are strings. TSV has quotes like CSV, except rankings (escaped_tsv.py)."""

import csv
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Protocol

from rerank_service.errors import FileInvalid
from rerank_service.quantities import counted
from rerank_service.tools.tables.escaped_tsv import RankingReader, is_ranking
from rerank_service.tools.tables.opening import open_binary, shown_path
from rerank_service.tools.tables.record import Record

_MAX_FIELD_CHARS = 2**26
"""Maximum characters of a field. A missing closing quote would read the rest of the file into one field."""


class RowReader(Iterator[list[str]], Protocol):
    """Yields rows: a `csv.reader`, or the reader of a ranking."""

    @property
    def line_num(self) -> int:
        """Number of lines that were read."""


@contextmanager
def open_csv(path: Path, delimiter: str) -> Iterator[RowReader]:
    """Open a file. Bytes that are not UTF-8 become surrogates.

    Raises:
        FileInvalid: the gzip data is damaged.
        OSError: the file cannot be read.
    """
    csv.field_size_limit(_MAX_FIELD_CHARS)
    with open_binary(path) as file:
        text = io.TextIOWrapper(file, "utf-8-sig", "surrogateescape", newline="")
        try:
            header = text.readline()
            if delimiter == "\t" and is_ranking(header):
                yield RankingReader(header, text)
            else:
                yield csv.reader(chain([header] if header else [], text), delimiter=delimiter, strict=True)
        finally:
            text.detach()  # `open_binary` closes the file, and leaves standard input open


def csv_header(reader: RowReader, path: Path) -> list[str]:
    """Return the first row; an empty list for an empty file.

    Raises:
        FileInvalid: it is not valid CSV, or not UTF-8.
    """
    try:
        header = next(reader, [])
    except csv.Error as error:
        raise FileInvalid(f"{shown_path(path)}:1: the header is not valid CSV: {error}") from error
    if not _is_utf8(header):
        raise FileInvalid(f"{shown_path(path)}:1: the header is not UTF-8 text: save the file as UTF-8")
    return header


def csv_records(reader: RowReader, header: Sequence[str]) -> Iterator[Record]:
    """Yield the rows below the header, without blank lines."""
    while True:
        number = reader.line_num + 1
        try:
            values = next(reader, None)
        except csv.Error as error:
            yield Record(number, [], error=f"the line is not valid CSV: {error}")
            continue
        if values is None:
            return
        if values:
            yield Record(number, values, values, _problem(values, header))


def count_records(reader: RowReader) -> int:
    """Return the number of rows below the header."""
    return max(0, sum(1 for row in _skipping_errors(reader) if row) - 1)


def _problem(values: Sequence[str], header: Sequence[str]) -> str:
    if len(values) != len(header):
        return f"the line has {counted(len(values), 'column')}, not {len(header)}"
    return "" if _is_utf8(values) else "the line is not UTF-8 text"


def _is_utf8(values: Sequence[str]) -> bool:
    try:
        "".join(values).encode()
    except UnicodeEncodeError:
        return False
    return True


def _skipping_errors(rows: Iterator[list[str]]) -> Iterator[list[str]]:
    while True:
        try:
            yield next(rows)
        except csv.Error:
            yield ["error"]
        except StopIteration:
            return
