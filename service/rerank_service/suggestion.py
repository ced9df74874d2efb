"""The nearest known name, for messages about unknown ones."""

from collections.abc import Iterable
from difflib import get_close_matches


def nearest_name(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that is nearest to an unknown one; None if none is close."""
    return next(iter(get_close_matches(name, list(known), n=1)), None)


def suggestion(name: str, known: Iterable[str]) -> str:
    """Return `; did you mean NAME?` for the nearest known name; empty if none is close."""
    nearest = nearest_name(name, known)
    return f"; did you mean {nearest}?" if nearest else ""
