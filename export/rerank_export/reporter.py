"""Status lines and progress of a running export. The caller decides how they are shown: the command line by
rerank_service/progress.py."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

Advance = Callable[[int], None]
"""Called with the number of units completed since the last call."""
Progress = Callable[[str, int], AbstractContextManager[Advance]]
"""Called with a description and the total number of units; shows the progress until the context ends."""


@contextmanager
def no_progress(_description: str, _total: int) -> Iterator[Advance]:
    """Show nothing."""
    yield lambda _: None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reporter:
    """The output of an export."""

    status: Callable[[str], None] = print
    """Print one status line."""
    progress: Progress = no_progress


PRINTED = Reporter()
"""Print the status lines, and show no progress."""
