"""Standard output of tables: they fit a terminal, and have one line per row elsewhere, such as in a pipe."""

import os
from typing import IO

from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from rerank_service.progress import is_terminal

_UNLIMITED = 1_000_000
"""Columns of a console that wraps nothing."""
_MAX_DIGITS = 6
"""Number of digits of COLUMNS up to which it counts."""
_MIN_WIDTH = 60
"""Columns that a table has at least. A narrower terminal breaks its lines; the table would leave columns out."""


def output_console(*, wide: bool = False, file: IO[str] | None = None) -> Console:
    """Return the console of standard output, or of a file.

    A terminal, and an output with the variable COLUMNS, wraps texts at its width. `wide` wraps nothing, and so does an
    output that is no terminal: `grep` and `cut` then see complete rows.
    """
    console = Console(file=file)
    if wide or not (is_terminal(console) or os.environ.get("COLUMNS", "").isdigit()):
        console.width = _UNLIMITED
    console.width = max(console.width, _MIN_WIDTH)
    return console


def ignore_invalid_columns() -> None:
    """Remove the variable COLUMNS if it is not a number above 0. rich writes nothing in 0 columns, and fails at other
    values."""
    columns = os.environ.get("COLUMNS", "")
    if not (columns.isascii() and columns.isdigit() and int(columns[:_MAX_DIGITS]) > 0 and len(columns) <= _MAX_DIGITS):
        os.environ.pop("COLUMNS", None)


def is_wide(console: Console) -> bool:
    """Return whether the console wraps nothing, so that each row is one line and has all columns."""
    return console.width >= _UNLIMITED


def print_table(console: Console, table: Table) -> None:
    """Print a table: with a frame that fits the width, or without a frame if the console wraps nothing."""
    if not is_wide(console):
        console.print(table)
        return
    title, caption = table.title, table.caption
    table.box, table.title, table.caption, table.show_lines, table.padding = None, None, None, False, (0, 2, 0, 0)
    for part in (title, _Stripped(table), caption):
        if part is not None:
            console.print(part, soft_wrap=True, highlight=False)


class _Stripped:
    """A table whose lines end with their text, and not with the spaces of the longest row."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for line in console.render_lines(self._table, options, pad=False):
            text = Text.assemble(*((segment.text, segment.style or "") for segment in line if not segment.control))
            text.rstrip()
            yield text
