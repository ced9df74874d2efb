"""Progress, table and lines of `rerank bench`."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich import box
from rich.table import Table
from rich.text import Text

from rerank_service.cli.output.bars import Row
from rerank_service.cli.output.tables import printable
from rerank_service.progress import progress
from rerank_service.quantities import counted, duration
from rerank_service.tools.loadtest.generator import OnOutcome, Outcome
from rerank_service.tools.loadtest.load_report import Level
from rerank_service.tools.loadtest.summary import Summary

_WITHOUT_TENTHS = 100
"""Milliseconds from which tenths are left out."""
_CLEARLY_LOWER = 0.9
"""Started calls per second / calls per second asked for, below which a level has a warning."""


@contextmanager
def level_progress(load: str, requests: int | None) -> Iterator[OnOutcome]:
    """Count the calls of a level on a terminal. Elsewhere nothing is shown: `level_line` follows each level."""
    answered = failed = 0
    with progress(load, requests, lines=0) as advance:

        def on_outcome(outcome: Outcome) -> None:
            nonlocal answered, failed
            answered += outcome.error is None
            failed += outcome.error is not None
            advance(1, detail=f"{answered} answered" + (f", {failed} failed" if failed else ""))

        yield on_outcome


def level_line(level: Level) -> str:
    """Return a level in one line, for logs."""
    summary = level.summary
    started = f"{summary.started_per_second:.1f}/s started, " if level.rate else ""
    return (
        f"{level.load}: {started}{summary.documents_per_second:.1f} documents/s, p50 {_ms(summary.latency.p50)} ms, "
        f"p99 {_ms(summary.latency.p99)} ms, {summary.answered} of {summary.requests} answered"
    )


def load_table(title: str, levels: Sequence[Level]) -> Table:
    """Return one row for each level; the table fits into 80 columns."""
    table = Table(
        title=Text(printable(title), "bold"), title_justify="left", box=box.SIMPLE, caption="p50 to p99 in ms"
    )
    table.add_column("load", no_wrap=True)
    for heading in ("answered", "docs/s", "tokens/s", "padding", "p50", "p95", "p99"):
        table.add_column(heading, justify="right", no_wrap=True)
    for level in levels:
        table.add_row(level.load, *_cells(level.summary), style="" if level.summary.answered else "red")
    return table


def load_rows(levels: Sequence[Level]) -> list[Row]:
    """Return a bar for the documents per second of each level."""
    rates = [(level, level.summary.documents_per_second) for level in levels]
    return [Row(level.load, rate, f"{rate:,.1f} docs/s", "green" if rate else "red") for level, rate in rates]


def _cells(summary: Summary) -> list[str]:
    latency = summary.latency
    return [
        f"{summary.answered:,}/{summary.requests:,}",
        f"{summary.documents_per_second:,.1f}",
        f"{summary.tokens_per_second:,.0f}" if summary.tokens else "-",
        f"{summary.padding:.3f}" if summary.padding else "-",
        *(_ms(seconds) for seconds in (latency.p50, latency.p95, latency.p99)),
    ]


def late_lines(levels: Sequence[Level]) -> list[str]:
    """Return a warning for each level whose calls started at a clearly lower rate than the one asked for."""
    lines = []
    for level in levels:
        started = level.summary.started_per_second
        if level.rate and 0 < started < _CLEARLY_LOWER * level.rate:
            lines.append(
                f"{level.load}: only {started:.1f} calls/s started, and the latency contains the delay: this machine "
                "is too slow for the rate; set a lower --rate, or send a part of the load from another machine"
            )
    return lines


def failure_lines(levels: Sequence[Level]) -> list[str]:
    """Return the number of failed calls by kind with the first message, and the slowest refusal, of each level."""
    lines = []
    for level in levels:
        summary = level.summary
        for kind, count in summary.errors.items():
            lines.append(f"{level.load}: {counted(count, 'call')}, {kind}: {summary.messages[kind]}")
        if summary.refusals.longest:
            lines.append(f"{level.load}: refused within {duration(summary.refusals.longest)}")
    return [printable(line) for line in lines]


def _ms(seconds: float) -> str:
    """Return milliseconds with a useful number of digits; "-" for 0, which means that nothing was measured."""
    milliseconds = seconds * 1000
    return f"{milliseconds:,.{0 if milliseconds >= _WITHOUT_TENTHS else 1}f}" if seconds else "-"
