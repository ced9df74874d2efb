"""What `rerank bench` shows: progress while it runs, then a table."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich import box
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from rerank_service.cli.output.tables import shown
from rerank_service.quantities import counted, duration
from rerank_service.tools.loadtest.generator import OnOutcome, Outcome
from rerank_service.tools.loadtest.load_report import Level
from rerank_service.tools.loadtest.summary import Summary

_LONG = 100
"""Milliseconds whose tenths nobody looks at."""


class Counter:
    """Counts the calls of a level as they end."""

    def __init__(self, told: Callable[[str], None]) -> None:
        self._told = told
        self._answered = 0
        self._failed = 0
        self.calls = 0

    def __call__(self, outcome: Outcome) -> None:
        self.calls += 1
        self._answered += outcome.error is None
        self._failed += outcome.error is not None
        failed = f", {self._failed} failed" if self._failed else ""
        self._told(f"{self._answered} answered{failed}")


@contextmanager
def progress(load: str, requests: int | None, console: Console) -> Iterator[OnOutcome]:
    """A line that moves, on a terminal; elsewhere nothing, since `level_line` follows."""
    if not console.is_terminal:
        yield Counter(lambda _: None)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[said]}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(load, total=requests, said="")

        def told(said: str) -> None:
            bar.update(task, completed=counter.calls, said=said)

        counter = Counter(told)
        yield counter


def level_line(level: Level) -> str:
    """A level in a line, for logs."""
    summary = level.summary
    return (
        f"{level.load}: {summary.documents_per_second:.1f} documents/s, p50 {_ms(summary.latency.p50)} ms, "
        f"p99 {_ms(summary.latency.p99)} ms, {summary.answered} of {summary.requests} answered"
    )


def load_table(title: str, levels: Sequence[Level]) -> Table:
    """One row a level; narrow enough for 80 columns."""
    table = Table(title=Text(shown(title), "bold"), title_justify="left", box=box.SIMPLE, caption="p50 to p99 in ms")
    table.add_column("load", no_wrap=True)
    for heading in ("answered", "docs/s", "tokens/s", "padding", "p50", "p95", "p99"):
        table.add_column(heading, justify="right", no_wrap=True)
    for level in levels:
        table.add_row(level.load, *_figures(level.summary), style="" if level.summary.answered else "red")
    return table


def _figures(summary: Summary) -> list[str]:
    latency = summary.latency
    return [
        f"{summary.answered:,}/{summary.requests:,}",
        f"{summary.documents_per_second:,.1f}",
        f"{summary.tokens_per_second:,.0f}" if summary.tokens else "-",
        f"{summary.padding:.3f}" if summary.padding else "-",
        *(_ms(seconds) for seconds in (latency.p50, latency.p95, latency.p99)),
    ]


def failure_lines(levels: Sequence[Level]) -> list[str]:
    """What failed at each level, how often, how soon refusals came, and what the first of each kind was told."""
    lines = []
    for level in levels:
        summary = level.summary
        for kind, count in summary.errors.items():
            lines.append(f"{level.load}: {counted(count, 'call')}, {kind}: {summary.messages[kind]}")
        if summary.refusals.longest:
            lines.append(f"{level.load}: refused within {duration(summary.refusals.longest)}")
    return [shown(line) for line in lines]


def _ms(seconds: float) -> str:
    """With a digit more where it says something; "-" where nothing was measured, since nothing takes no time."""
    milliseconds = seconds * 1000
    return f"{milliseconds:,.{0 if milliseconds >= _LONG else 1}f}" if seconds else "-"


def error_console() -> Console:
    """Where progress goes, so that what is printed can be piped."""
    return Console(file=sys.stderr, highlight=False, markup=False)
