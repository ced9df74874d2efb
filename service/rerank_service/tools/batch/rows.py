"""Rows of an input file: a query with one document (a pair), or a query with a list of documents."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rerank_service.json_types import json_type


@dataclass(frozen=True, slots=True)
class Columns:
    """The names of the columns that are read and added."""

    query: str = "query"
    document: str | None = None
    """None: `document` for pairs, else `documents` for lists."""
    score: str | None = None
    """None: `score` for pairs; for lists `scores`, or `ranking` with --sort."""

    @property
    def document_names(self) -> tuple[str, ...]:
        """Names under which a row may have its document or documents."""
        return ("document", "documents") if self.document is None else (self.document,)

    def added(self, *, is_list: bool, sort: bool) -> str:
        """Return the name of the column that is added to a row."""
        if self.score is not None:
            return self.score
        return "score" if not is_list else "ranking" if sort else "scores"


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the input."""

    number: int
    """Line of a text file, row of a Parquet file; from 1."""
    raw: Any
    """The row in the form of its format, which writes it again."""
    query: str = ""
    documents: Sequence[str] = ()
    is_list: bool = False
    error: str = ""
    """Why the row cannot be scored; empty for a valid row."""


@dataclass(frozen=True, slots=True)
class ScoredRow:
    """A row with the scores of its documents, in their order."""

    row: Row
    scores: Sequence[float]
    order: Sequence[float]
    """The values that order documents with equal scores; see `PairScores.order`."""

    def added_value(self, *, sort: bool) -> Any:
        """Return the value of the added column: a score, the list of scores, or the ranking, best first."""
        if not self.row.is_list:
            return self.scores[0]
        if not sort:
            return list(self.scores)
        ranked = sorted(range(len(self.scores)), key=lambda index: (-self.scores[index], -self.order[index]))
        return [{"index": index, "score": self.scores[index]} for index in ranked]


def valid_row(number: int, raw: Any, query: Any, document: Any, names: tuple[str, str]) -> Row:
    """Return the row with a query and a document, or with the error that it has.

    `document` is a string or a list of strings. `names` are the columns of query and document, for messages.
    """
    is_list = isinstance(document, list)
    documents = document if is_list else [document]
    return Row(number, raw, query, documents, is_list, row_error(query, documents, is_list=is_list, names=names))


def row_error(query: Any, documents: Sequence[Any], *, is_list: bool, names: tuple[str, str]) -> str:
    """Return why a row with these values cannot be scored; empty for a valid row."""
    if not isinstance(query, str):
        return f"{names[0]} must be a string, not {json_type(query)}"
    if not query:
        return f"{names[0]} must not be empty"
    if not documents:
        return f"{names[1]} must not be empty"
    for index, document in enumerate(documents):
        if not isinstance(document, str):
            name = f"{names[1]}[{index}]" if is_list else names[1]
            return f"{name} must be a string, not {json_type(document)}"
    return ""
