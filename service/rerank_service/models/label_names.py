"""Which of two labels means relevant, by their names."""

from collections.abc import Mapping

_RELEVANT = {"relevant", "relevance", "yes", "true", "positive", "match"}
_IRRELEVANT = {"irrelevant", "not relevant", "non relevant", "no", "false", "negative", "no match"}


def relevant_of(labels: Mapping[int, str]) -> int | None:
    """Its place, 0 or 1; None where the names do not tell."""
    found = [
        place
        for place, label in labels.items()
        if _plain(label) in _RELEVANT or _plain(labels[1 - place]) in _IRRELEVANT
    ]
    return found[0] if len(found) == 1 else None


def named(labels: Mapping[int, str]) -> str:
    """All of them, for a person."""
    return ", ".join(f"{place} {label}" for place, label in sorted(labels.items()))


def _plain(label: str) -> str:
    return label.lower().replace("_", " ").replace("-", " ").strip()
