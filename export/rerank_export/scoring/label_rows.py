"""The logits of a classifier that make the score."""

from collections.abc import Mapping

from rerank_export.errors import ExportFailed
from rerank_service.models.label_names import list_labels, relevant_label
from rerank_service.quantities import counted


def relevant_first(model: str, labels: Mapping[int, str], wanted: str | None) -> tuple[int, ...]:
    """Return the indexes of the logits that make the score: the relevant label first, then the other if there are two.

    `labels` maps the index of a logit to its name; `wanted` is the name or index from --relevant.

    Raises:
        ExportFailed: there are more than two labels, or it is unclear which of two means relevant.
    """
    if len(labels) == 1:
        return (0,)
    if set(labels) != {0, 1}:
        raise ExportFailed(
            f"{model} has {counted(len(labels), 'label')} ({list_labels(labels)}); "
            "only one or two labels can be exported"
        )
    if wanted is None:
        relevant = relevant_label(labels)
        if relevant is None:
            raise ExportFailed(
                f"{model} has two labels ({list_labels(labels)}), and their names do not show which one means "
                "relevant: set --relevant"
            )
    else:
        relevant = next((index for index, label in labels.items() if wanted in (label, str(index))), None)
        if relevant is None:
            raise ExportFailed(f"{model} has no label {wanted!r}: set --relevant to one of {list_labels(labels)}")
    return (relevant, 1 - relevant)
