"""The values that a ranking consists of: ranked documents, unscored documents, usage and timing."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rerank_service.ranking.document import Span


@dataclass(frozen=True, slots=True, kw_only=True)
class RankedDocument:
    """One result."""

    index: int
    """Position in the request's documents, from 0."""
    relevance_score: float
    logit: float
    truncated: bool
    id: str | None
    document: Any
    """`Document.original`, where documents were asked for, else None."""
    windows: int = 1
    """In which it was scored."""
    best_window: Span | None = None
    """The best of them, in the text that was ranked; None where there is but one."""


@dataclass(frozen=True, slots=True)
class Missing:
    """What a ranking does not hold that was made before all was scored."""

    unscored: Sequence[range]
    """Indexes of documents that were received, in ascending order."""
    received: int
    """Documents that were read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a request cost, in tokens."""

    query_tokens: int = 0
    document_tokens: int = 0
    padded_tokens: int = 0
    prompt_tokens: int = 0
    pairs: int = 0
    """Scored: each window of each document; documents that are the same to the model are scored once."""
    shared_pairs: int = 0
    """Not scored, since another request's score was there. The other numbers do not count them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Where the time of a request went, in seconds."""

    queue: float
    tokenize: float
    inference: float
    total: float
