"""Labels file of `rerank calibrate`: judged documents in JSONL.

Each line has one of three forms. The lines of one query may stand anywhere in the file:

    {"query": …, "document": …, "label": 1}
    {"query": …, "documents": […, …], "labels": [1, 0]}
    {"query": …, "documents": [{"text": …, "label": 2}, …]}    # as for `rerank eval`: `grade` instead of `label`

A document is a string or an object with a `text`. A label is an integer; a negative label counts as 0. A document may
be repeated for a query with the same label, and counts each time.
"""

import io
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import AliasChoices, BaseModel, ConfigDict, Field

from rerank_service.error_text import excerpt
from rerank_service.errors import CalibrationFailed, FileInvalid
from rerank_service.quantities import counted
from rerank_service.tools.digested_file import DigestedFile
from rerank_service.tools.input_files import read_objects

MIN_LABELS = 50
"""Smallest number of labels for a curve with two parameters."""
MIN_LABELS_OF_EACH_GRADE = 10
"""Smallest number of labels of each grade; without grades: of relevant and of other documents."""

_LabelledText = tuple[str, int, str]
"""A document, its label, and the place of the label in the file."""
_LABEL_NAMES = AliasChoices("label", "grade")


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True)

    text: str
    label: int | None = Field(default=None, validation_alias=_LABEL_NAMES)


class _Line(BaseModel):
    model_config = ConfigDict(frozen=True)

    query: str = Field(min_length=1)
    document: str | _Document | None = None
    label: int | None = Field(default=None, validation_alias=_LABEL_NAMES)
    documents: list[str | _Document] | None = None
    labels: list[int] | None = None


@dataclass(frozen=True, slots=True)
class LabelledQuery:
    """A query with its labelled documents; the three tuples have the same length."""

    query: str
    documents: tuple[str, ...]
    labels: tuple[int, ...]
    places: tuple[str, ...]
    """Place of each label in the file, for messages."""


@dataclass(frozen=True, slots=True)
class Labels:
    """The content of a labels file."""

    queries: list[LabelledQuery]
    """Each query once, with all its documents."""
    sha256: str
    """The sha256 of the file, in hex."""


def read_labels(path: Path) -> Labels:
    """Read a file, once: it may be a pipe.

    Raises:
        FileInvalid: a line has none of the three forms, or a document has two labels for a query.
        OSError: the file cannot be read.
    """
    pairs: dict[str, list[_LabelledText]] = {}
    file = DigestedFile(path)
    for place, line in read_objects(path, _Line, io.BufferedReader(file)):
        pairs.setdefault(line.query, []).extend((text, label, place) for text, label in _pairs(place, line))
    for query, of_query in pairs.items():
        _check_consistent(query, of_query)
    queries = [LabelledQuery(query, *zip(*of_query, strict=True)) for query, of_query in pairs.items()]
    return Labels(queries, file.digest)


def _check_consistent(query: str, of_query: list[_LabelledText]) -> None:
    """Raise FileInvalid if a document has two labels for a query: no curve can fit both."""
    first: dict[str, tuple[int, str]] = {}
    for text, label, place in of_query:
        other, there = first.setdefault(text, (label, place))
        if label != other:
            raise FileInvalid(
                f"{place}: document {excerpt(text)!r} has the label {label} for query {excerpt(query)!r}, and "
                f"{other} in {there}: keep one of these labels"
            )


def binary_labels(labelled: list[LabelledQuery], relevant_from: int | None) -> list[LabelledQuery]:
    """Replace labels by 1 for relevant documents and 0 for others.

    Labels from `relevant_from` on are relevant. None: all labels are 0 or 1 already.

    Raises:
        FileInvalid: `relevant_from` is None and a label is greater than 1.
    """
    if relevant_from is None:
        for query in labelled:
            for label, place in zip(query.labels, query.places, strict=True):
                if label > 1:
                    raise FileInvalid(
                        f"{place}: label is {label}, not 0 or 1; for grades use --graded or --relevant-from N"
                    )
    threshold = 1 if relevant_from is None else relevant_from
    return [replace(query, labels=tuple(int(label >= threshold) for label in query.labels)) for query in labelled]


def check_enough_labels(labelled: list[LabelledQuery], path: Path) -> None:
    """Check that there are enough labels to trust a fitted curve.

    Raises:
        CalibrationFailed: there are too few labels, too few of one grade, or all labels are equal.
    """
    counts = Counter(label for query in labelled for label in query.labels)
    if len(counts) < 2:
        only = f"all {counts.total():,} are {next(iter(counts))}" if counts else "the file has no labels"
        raise CalibrationFailed(f"{path}: a calibration needs at least two different labels; {only}")
    if counts.total() < MIN_LABELS:
        raise CalibrationFailed(
            f"{path}: too few labels: {counted(counts.total(), 'label')}; a calibration needs at least {MIN_LABELS}"
        )
    for label, count in sorted(counts.items()):
        if count < MIN_LABELS_OF_EACH_GRADE:
            raise CalibrationFailed(
                f"{path}: too few labels are {label}: {counted(count, 'label')}; "
                f"a calibration needs at least {MIN_LABELS_OF_EACH_GRADE} of each"
            )


def _pairs(place: str, line: _Line) -> Iterator[tuple[str, int]]:
    """Yield the text and the label of each document of a line."""
    if (line.document is None) == (line.documents is None):
        raise FileInvalid(f"{place}: set either document or documents")
    if line.document is not None:
        yield _pair(place, "document", line.document, line.label)
        return
    documents = line.documents or []
    if not documents:
        raise FileInvalid(f"{place}: documents is empty; give at least one document")
    labels: list[int | None] = [None] * len(documents) if line.labels is None else [*line.labels]
    if len(labels) != len(documents):
        raise FileInvalid(
            f"{place}: labels has {counted(len(labels), 'element')}, and documents has {len(documents)}; "
            "give one label per document"
        )
    for number, (document, label) in enumerate(zip(documents, labels, strict=True)):
        yield _pair(place, f"documents[{number}]", document, label)


def _pair(place: str, field: str, document: str | _Document, label: int | None) -> tuple[str, int]:
    text, own_label = (document, None) if isinstance(document, str) else (document.text, document.label)
    label = own_label if label is None else label
    if label is None:
        raise FileInvalid(f"{place}: {field} has no label")
    return text, max(0, label)
