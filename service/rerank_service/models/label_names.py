"""Find the label that means relevant, by the names of a model's labels."""

from collections.abc import Mapping

_RELEVANT = {"relevant", "relevance", "yes", "true", "positive", "match"}
_IRRELEVANT = {"irrelevant", "not relevant", "non relevant", "no", "false", "negative", "no match"}


def relevant_label(labels: Mapping[int, str]) -> int | None:
    """Return the position, 0 or 1, of the relevant one of two labels; None if the names do not show it."""
    positions = [
        position
        for position, label in labels.items()
        if _normalized(label) in _RELEVANT or _normalized(labels[1 - position]) in _IRRELEVANT
    ]
    return positions[0] if len(positions) == 1 else None


def list_labels(labels: Mapping[int, str]) -> str:
    """Return all labels with their positions, for a message."""
    return ", ".join(f"{position} {label}" for position, label in sorted(labels.items()))


def _normalized(label: str) -> str:
    return label.lower().replace("_", " ").replace("-", " ").strip()
