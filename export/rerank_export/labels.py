"""Which of two labels means relevant."""

from collections.abc import Mapping

from rerank_export.errors import ExportFailed

_RELEVANT = {"relevant", "relevance", "yes", "true", "positive", "match"}
_IRRELEVANT = {"irrelevant", "not relevant", "non relevant", "no", "false", "negative", "no match"}


def relevant_first(model: str, labels: Mapping[int, str], wanted: str | None) -> tuple[int, ...]:
    """The places of the logits that make the score: that of relevance, and of two labels then the other's.

    Raises:
        ExportFailed: there are other than one or two, or it is not clear which of two means relevant.
    """
    named = ", ".join(f"{place} {label}" for place, label in sorted(labels.items()))
    if len(labels) == 1:
        return (0,)
    if len(labels) != 2:
        raise ExportFailed(
            f"{model} has {len(labels)} labels ({named}); a cross-encoder that is served here has one or two"
        )
    found = [place for place, label in labels.items() if _is_wanted(place, label, labels, wanted)]
    if len(found) != 1:
        raise ExportFailed(
            f"{model} has two labels ({named}), and it is not clear which means relevant: say so with --relevant"
            if wanted is None
            else f"{model} has no label {wanted!r}: --relevant is one of {named}"
        )
    return (found[0], 1 - found[0])


def _is_wanted(place: int, label: str, labels: Mapping[int, str], wanted: str | None) -> bool:
    if wanted is not None:
        return wanted in (label, str(place))
    return _plain(label) in _RELEVANT or _plain(labels[1 - place]) in _IRRELEVANT


def _plain(label: str) -> str:
    return label.lower().replace("_", " ").replace("-", " ").strip()
