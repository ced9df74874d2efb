"""The values in a ranking: ranked documents, unscored documents, usage and timing."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from rerank_service.ranking.document import Span


@dataclass(frozen=True, slots=True)
class Highlight:
    """A sentence of a result that scores well for the query."""

    span: Span
    """Position in the text that was scored."""
    relevance_score: float
    logit: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RankedDocument:
    """One result."""

    index: int
    """Position of the document in the request, from 0."""
    relevance_score: float
    logit: float
    truncated: bool
    """True if the document was cut."""
    id: str | None
    """The caller's name for the document."""
    document: Any
    """`Document.original`, if the request returns documents; else None."""
    windows: int = 1
    """Number of windows in which the document was scored."""
    best_window: Span | None = None
    """The window with the highest logit, in the text that was scored. None: the document was scored as one pair,
    not in windows."""
    highlights: Sequence[Highlight] = ()
    """The best sentences, best first. Empty: the request has no highlights, or the document has none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelVersion:
    """The version of a model that scored, with its engine."""

    digest: str
    """sha256 over everything that scores depend on; empty for a hub folder."""
    provider: str
    """Provider of the engine by its name in ONNX Runtime, such as CPUExecutionProvider."""
    precision: str
    """Precision of the engine, such as int8."""


@dataclass(frozen=True, slots=True)
class Missing:
    """The documents without a score in a partial ranking."""

    unscored: Sequence[range]
    """Indexes of documents that were received but not scored, ascending."""
    received: int
    """Number of documents received."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """The work of a request. Pairs that ran for another request count in `shared_pairs` only."""

    query_tokens: int = 0
    """Tokens of the query alone."""
    document_tokens: int = 0
    """Tokens of the documents in all pairs that ran."""
    padded_tokens: int = 0
    """Tokens computed, padding included."""
    prompt_tokens: int = 0
    """Tokens of all pairs that ran: query, document and template."""
    pairs: int = 0
    """Number of pairs that ran: each window of each document, duplicates once."""
    shared_pairs: int = 0
    """Number of pairs whose logit came from another request or from the score cache."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """The times of a request, in seconds."""

    queue: float
    """From the first queued pair to the start of the first batch."""
    tokenize: float
    """Reading and tokenizing."""
    inference: float
    """From the start of the first batch to the end of the last one."""
    total: float
    """From the acceptance of the request. It leaves out the load of a model on demand."""


class Interval(NamedTuple):
    """A part of the time of a request, in seconds after admission accepted it."""

    began: float
    ended: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Stages:
    """The intervals behind the times in `Timing`. None: the request did not get there."""

    tokenize: Interval | None = None
    """From the first text to the last one. `Timing.tokenize` leaves out the time between the parts of a stream."""
    queue: Interval | None = None
    inference: Interval | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """The work of an accepted request, however the request ended."""

    model: str
    """Name of the model that scored."""
    documents: int
    """Number of documents received."""
    usage: Usage
    timing: Timing
    stages: Stages
    forecast: float | None
    """Seconds from admission to the end, as admission forecast them. None: a stream, or an incomplete ranking."""


OnWork = Callable[[Work], None]
"""Receives the work of a request when the request ends."""
