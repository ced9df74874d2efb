"""Which of a classifier's logits make the score."""

from collections.abc import Mapping

from rerank_export.errors import ExportFailed
from rerank_service.models.label_names import named, relevant_of
from rerank_service.quantities import counted


def relevant_first(model: str, labels: Mapping[int, str], wanted: str | None) -> tuple[int, ...]:
    """The places of the logits that make the score: that of relevance, and of two labels then the other's.

    Raises:
        ExportFailed: there are other than one or two, or it is not clear which of two means relevant.
    """
    if len(labels) == 1:
        return (0,)
    if set(labels) != {0, 1}:
        raise ExportFailed(
            f"{model} has {counted(len(labels), 'label')} ({named(labels)}); "
            "a cross-encoder that is served here has one or two"
        )
    if wanted is None:
        found = relevant_of(labels)
        if found is None:
            raise ExportFailed(
                f"{model} has two labels ({named(labels)}), and it is not clear which means relevant: say so with "
                "--relevant"
            )
    else:
        found = next((place for place, label in labels.items() if wanted in (label, str(place))), None)
        if found is None:
            raise ExportFailed(f"{model} has no label {wanted!r}: --relevant is one of {named(labels)}")
    return (found, 1 - found)
