"""Progress of long work on standard error: a bar or a spinner on a terminal, plain lines elsewhere.

Every command whose work is long uses this module: `rank`, `batch`, `eval`, `calibrate`, `tune`, `bench`, `export`, and
`make bench`. Standard output stays free for results, so that it can be piped. `progress` is for work of counted steps,
`stages` for work in named stages, and `kept_stages` for stages whose lines stay visible.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from rerank_service.lossy_stderr import lossy_stderr

STAGE_DETAIL = " · "
"""Stands between the name of a stage and a text that changes."""
LINES = 10
"""Number of lines that `progress` prints where standard error is not a terminal."""


class Advance(Protocol):
    """Report that more of the work is done."""

    def __call__(self, amount: int, /, *, detail: str = "") -> None:
        """Add `amount` steps. `detail`, such as a rate, is shown beside the count."""


@contextmanager
def progress(description: str, total: int | None, *, lines: int = LINES) -> Iterator[Advance]:
    """Show the progress of `total` steps while the block runs.

    A terminal shows a bar; without a total it moves back and forth. Elsewhere `lines` lines are printed at even
    intervals; none without a total.
    """
    console = stderr_console()
    if is_terminal(console):
        with _bar(console, total) as bar:
            task = bar.add_task(description, total=total, detail="")
            yield lambda amount, *, detail="": bar.update(task, advance=amount, detail=detail)
    else:
        yield _PlainLines(console, description, total or 0, lines if total else 0)


@contextmanager
def stages() -> Iterator[Callable[[str], None]]:
    """Show the name of the current stage while the block runs: a spinner on a terminal, a line per stage elsewhere.

    A text after " · " may change while the stage lasts. The spinner shows it; lines have that of the beginning.
    """
    console = stderr_console()
    if is_terminal(console):
        with console.status("") as status:
            yield status.update
    else:
        last = ""

        def line(stage: str) -> None:
            nonlocal last
            before, last = last, stage.partition(STAGE_DETAIL)[0]
            if last != before:
                console.print(stage, soft_wrap=True)

        yield line


def kept_stages(clock: Callable[[], float] | None = None) -> Callable[[str], None]:
    """Return a function that prints a line for each stage, also on a terminal.

    For work that lasts longer than a screen, or whose libraries show bars of their own. With a clock, which returns
    seconds, each line starts with the seconds since this call.
    """
    console, began = stderr_console(), clock() if clock else 0.0

    def report(stage: str) -> None:
        since = f"{clock() - began:6.0f} s  " if clock else ""
        console.print(f"{since}{stage}", soft_wrap=True)

    return report


def stderr_console() -> Console:
    """Return a console on standard error that prints text unchanged, without markup or emoji codes.

    Text that cannot be written is dropped: the work goes on when the terminal is closed, the disk of a log is full, or
    the reader of a pipe has ended.
    """
    stream = lossy_stderr(getattr(sys.stderr, "encoding", None) or "utf-8")
    return Console(file=stream, highlight=False, markup=False, emoji=False)


def is_terminal(console: Console) -> bool:
    """Return whether a console writes to a terminal. For rich, a pipe is one, too, if FORCE_COLOR is set, as in many CI
    systems; that variable asks for colours only."""
    return console.is_terminal and console.file.isatty()


def _bar(console: Console, total: int | None) -> Progress:
    counts = (MofNCompleteColumn(), TimeRemainingColumn()) if total else (TimeElapsedColumn(),)
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        *counts,
        TextColumn("{task.fields[detail]}", markup=False),
    )
    return Progress(*columns, console=console, transient=True)


class _PlainLines:
    """Print `lines` lines at even intervals of the work."""

    def __init__(self, console: Console, description: str, total: int, lines: int) -> None:
        self._console = console
        self._description = description
        self._total = total
        self._lines = lines
        self._done = 0

    def __call__(self, amount: int, /, *, detail: str = "") -> None:
        before, self._done = self._done, self._done + amount
        if self._lines and self._lines * self._done // self._total > self._lines * before // self._total:
            count = f"{self._description}: {self._done} of {self._total}"
            self._console.print(f"{count}, {detail}" if detail else count, soft_wrap=True)
