r"""TSV with one line per row: tabs, line ends and backslashes in a value are \t, \n, \r and \\.

`rerank rank --output tsv` writes it. A file with its header is read in the same way, so that texts are those that were
ranked. Source of the escapes: the text format of PostgreSQL's COPY, and Linear TSV. Other TSV files have quotes, like
CSV, as spreadsheets write them.
"""

import re
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import IO

COLUMNS = ("rank", "index", "id", "relevance_score", "windows", "start", "end", "truncated", "document")
"""Columns of a ranking. `start` and `end` are those of the best window; empty for a document in one window."""
_ESCAPES = {"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"}
_TRANSLATION = str.maketrans(_ESCAPES)
_VALUES = {escaped: value for value, escaped in _ESCAPES.items()}
_ESCAPED = re.compile(r"\\[tnr\\]")


def row(values: Iterable[str]) -> str:
    """Return the line of a row, without line end."""
    return "\t".join(value.translate(_TRANSLATION) for value in values)


def values(line: str) -> list[str]:
    """Return the values of a line."""
    cells = line.removesuffix("\n").removesuffix("\r").split("\t")
    return [_ESCAPED.sub(lambda found: _VALUES[found[0]], cell) for cell in cells]


def is_ranking(header: str) -> bool:
    """Return whether a line is the header of a ranking."""
    return values(header) == list(COLUMNS)


class RankingReader:
    """The rows of a ranking, with the interface of `csv.reader`."""

    def __init__(self, header: str, lines: IO[str]) -> None:
        """Read the header first, and then the lines."""
        self._lines = chain([header], lines)
        self.line_num = 0
        """Number of lines that were read."""

    def __iter__(self) -> Iterator[list[str]]:
        """Return the rows."""
        return self

    def __next__(self) -> list[str]:
        """Return the next row; an empty list for a blank line."""
        line = next(self._lines)
        self.line_num += 1
        return values(line) if line.strip("\r\n") else []
