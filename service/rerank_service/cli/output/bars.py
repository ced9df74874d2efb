"""Bar charts for a terminal. A pipe gets no chart: its reader has the table."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.bar import Bar
from rich.console import Console
from rich.table import Table
from rich.text import Text

from rerank_service.progress import is_terminal


@dataclass(frozen=True, slots=True)
class Row:
    """A bar of a chart."""

    label: str
    value: float
    text: str
    """The value as it is shown."""
    style: str = ""
    """A style of rich, such as `green`."""


def show_bars(console: Console, title: str, rows: Sequence[Row], *, maximum: float | None = None) -> None:
    """Print a chart if the console is a terminal. `maximum` is the value of a full bar; None: the largest value."""
    full = max((row.value for row in rows), default=0.0) if maximum is None else maximum
    if not is_terminal(console) or full <= 0:
        return
    table = Table.grid(padding=(0, 1))
    table.title, table.title_justify = title, "left"
    table.add_column(overflow="fold")
    table.add_column(ratio=1, min_width=10)
    table.add_column(justify="right", no_wrap=True)
    table.expand = True
    for row in rows:
        bar = Bar(full, 0, max(0.0, row.value), color=row.style or "default")
        table.add_row(Text(row.label), bar, Text(row.text, row.style))
    console.print(table)
