"""Names of columns in messages."""

from collections.abc import Sequence

from rerank_service.error_text import excerpt

_MAX_CHARS = 500


def shown_columns(names: Sequence[str]) -> str:
    """Return names, separated by commas: those that fit a message, and the number of the others."""
    shown: list[str] = []
    chars = 0
    for name in map(excerpt, names):
        chars += len(name) + 2
        if shown and chars > _MAX_CHARS:
            return f"{', '.join(shown)} and {len(names) - len(shown):,} more"
        shown.append(name)
    return ", ".join(shown)
