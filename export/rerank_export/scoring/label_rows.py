"""The logits of a classifier that make the score."""

from collections.abc import Mapping

from rerank_export.errors import ExportFailed
from rerank_service.models.label_names import list_labels, relevant_label
from rerank_service.quantities import counted


def relevant_first(model: str, labels: Mapping[int, str], wanted: str | None) -> tuple[int, ...]:
    """Return the indexes of the logits that make the score: the relevant label first, then the other if there are two.

    `labels` maps the index of a logit to its name; `wanted` is the name or index from --relevant. A name comes first.

    Raises:
        ExportFailed: there are more than two labels, it is unclear which of two means relevant, or none is `wanted`.
    """
    if len(labels) != 1 and set(labels) != {0, 1}:
        raise ExportFailed(
            f"{model} has {counted(len(labels), 'label')} ({list_labels(labels)}); "
            "only one or two labels can be exported"
        )
    relevant = None if wanted is None else _find(model, labels, wanted)
    if len(labels) == 1:
        return (0,)
    if relevant is None:
        relevant = relevant_label(labels)
    if relevant is None:
        raise ExportFailed(
            f"{model} has two labels ({list_labels(labels)}), and their names do not show which one means relevant: "
            "set --relevant"
        )
    return (relevant, 1 - relevant)


def _find(model: str, labels: Mapping[int, str], wanted: str) -> int:
    """Return the index of the label of that name. If no label has the name, it may be an index."""
    named = [index for index, label in labels.items() if label == wanted]
    found = named or [index for index in labels if str(index) == wanted]
    if len(found) != 1:
        count = "two labels" if found else "no label"
        raise ExportFailed(f"{model} has {count} {wanted!r}: set --relevant to one of {list_labels(labels)}")
    return found[0]
