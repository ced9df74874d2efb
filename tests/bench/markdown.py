"""Tables of Markdown."""

from collections.abc import Iterable, Sequence


def table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """Return a table. Each text stays within its cell."""
    marks = ["---"] * len(head)
    return "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in (head, marks, *lines))


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())
