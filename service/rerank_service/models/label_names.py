"""Find the label that means relevant, by the names of a model's labels."""

from collections.abc import Mapping

from rerank_service.error_text import short_line

_RELEVANT = {"relevant", "relevance", "yes", "true", "positive", "match"}
_IRRELEVANT = {"irrelevant", "not relevant", "non relevant", "no", "false", "negative", "no match"}
_MAX_LABELS_SHOWN = 4
"""Maximum number of labels in a message."""


def relevant_label(labels: Mapping[int, str]) -> int | None:
    """Return the position, 0 or 1, of the relevant one of two labels; None if the names do not show it."""
    positions = [
        position
        for position, label in labels.items()
        if _normalized(label) in _RELEVANT or _normalized(labels[1 - position]) in _IRRELEVANT
    ]
    return positions[0] if len(positions) == 1 else None


def list_labels(labels: Mapping[int, str]) -> str:
    """Return the first labels with their positions, for a message."""
    shown = [f"{position} {short_line(label)}" for position, label in sorted(labels.items())[:_MAX_LABELS_SHOWN]]
    return ", ".join(shown if len(shown) == len(labels) else [*shown, "…"])


def _normalized(label: str) -> str:
    return label.lower().replace("_", " ").replace("-", " ").strip()
