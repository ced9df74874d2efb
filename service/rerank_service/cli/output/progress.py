"""How far a long piece of work is: a bar on a terminal, a line now and then elsewhere."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

LINES = 10
"""Where there is no terminal."""

Advance = Callable[[int], None]
"""Told how much more is done."""


@contextmanager
def progress(what: str, total: int) -> Iterator[Advance]:
    """On standard error, so that what is printed can be piped."""
    console = Console(stderr=True)
    if console.is_terminal:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=console, transient=True) as bar:
            task = bar.add_task(what, total=total)
            yield lambda more: bar.advance(task, more)
    else:
        yield _told(what, total)


def _told(what: str, total: int) -> Advance:
    done = 0

    def advance(more: int) -> None:
        nonlocal done
        before, done = done, done + more
        if LINES * done // total > LINES * before // total:
            print(f"{what}: {done} of {total}", file=sys.stderr, flush=True)

    return advance
