"""Labels: what is read of a file of judged documents.

Each line is an object in one of three forms; those of one query, wherever they stand, belong together:

    {"query": …, "document": …, "label": 1}
    {"query": …, "documents": […, …], "labels": [1, 0]}
    {"query": …, "documents": [{"text": …, "label": 2}, …]}    # as collections for `rerank eval`: `grade` for `label`

A document is a string or an object with a `text`. A label is a whole number; one below 0 counts as 0.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import AliasChoices, BaseModel, ConfigDict, Field

from rerank_service.errors import CalibrationFailed, FileInvalid
from rerank_service.quantities import counted
from rerank_service.tools.input_files import objects

LEAST = 50
"""Labels, for two numbers to be worth fitting."""
LEAST_OF_EACH = 10
"""Of relevant ones, of others, of each grade."""

_NAMES = AliasChoices("label", "grade")


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True)

    text: str
    label: int | None = Field(default=None, validation_alias=_NAMES)


class _Line(BaseModel):
    model_config = ConfigDict(frozen=True)

    query: str = Field(min_length=1)
    document: str | _Document | None = None
    label: int | None = Field(default=None, validation_alias=_NAMES)
    documents: list[str | _Document] | None = None
    labels: list[int] | None = None


@dataclass(frozen=True, slots=True)
class Labelled:
    """A query with documents and what was said of each."""

    query: str
    documents: tuple[str, ...]
    labels: tuple[int, ...]
    places: tuple[str, ...]
    """Where each was read."""


def read_labels(path: Path) -> list[Labelled]:
    """All of a file, a query once.

    Raises:
        FileInvalid: a line is of none of the forms.
        OSError: it cannot be read.
    """
    pairs: dict[str, list[tuple[str, int, str]]] = {}
    for place, line in objects(path, _Line):
        pairs.setdefault(line.query, []).extend((text, label, place) for text, label in _pairs(place, line))
    return [Labelled(query, *zip(*some, strict=True)) for query, some in pairs.items()]


def binary(labelled: list[Labelled], relevant_from: int | None) -> list[Labelled]:
    """With 1 for what is relevant and 0 for all else.

    Raises:
        FileInvalid: there are grades, and nothing says which of them are relevant.
    """
    if relevant_from is None:
        for one in labelled:
            for label, place in zip(one.labels, one.places, strict=True):
                if label > 1:
                    raise FileInvalid(
                        f"{place}: a label is {label}, neither 0 nor 1: for grades give --graded, or --relevant-from N"
                    )
    least = 1 if relevant_from is None else relevant_from
    return [replace(one, labels=tuple(int(label >= least) for label in one.labels)) for one in labelled]


def check_enough(labelled: list[Labelled], path: Path) -> None:
    """Raise CalibrationFailed where no fit could be trusted."""
    counts = Counter(label for one in labelled for label in one.labels)
    if len(counts) < 2:
        only = f"all {counts.total():,} are {next(iter(counts))}" if counts else "there is none"
        raise CalibrationFailed(f"{path}: labels must differ for a calibration to be fitted, and {only}")
    if counts.total() < LEAST:
        raise CalibrationFailed(
            f"{path}: too few: {counted(counts.total(), 'label')}; a calibration takes at least {LEAST}"
        )
    for label, count in sorted(counts.items()):
        if count < LEAST_OF_EACH:
            raise CalibrationFailed(
                f"{path}: too few are {label}: {counted(count, 'label')}; "
                f"a calibration takes {LEAST_OF_EACH} of each or more"
            )


def _pairs(place: str, line: _Line) -> Iterator[tuple[str, int]]:
    if (line.document is None) == (line.documents is None):
        raise FileInvalid(f"{place}: give either document or documents")
    if line.document is not None:
        yield _pair(place, "document", line.document, line.label)
        return
    documents = line.documents or []
    if not documents:
        raise FileInvalid(f"{place}: documents is empty")
    labels: list[int | None] = [None] * len(documents) if line.labels is None else [*line.labels]
    if len(labels) != len(documents):
        raise FileInvalid(f"{place}: {counted(len(documents), 'document')} and {counted(len(labels), 'label')}")
    for number, (document, label) in enumerate(zip(documents, labels, strict=True)):
        yield _pair(place, f"documents[{number}]", document, label)


def _pair(place: str, field: str, document: str | _Document, label: int | None) -> tuple[str, int]:
    text, own = (document, None) if isinstance(document, str) else (document.text, document.label)
    said = label if label is not None else own
    if said is None:
        raise FileInvalid(f"{place}: {field} has no label")
    return text, max(0, said)
