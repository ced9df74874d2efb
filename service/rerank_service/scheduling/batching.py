"""Pairs as token ids, the size limits of a batch, and the arrays of a batch.

Pure. `fair_queue.py` chooses the pairs of a batch.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Segment:
    """A run of tokens with their token type ids. Both arrays are int64 of shape (tokens,)."""

    ids: NDArray[np.int64]
    type_ids: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, slots=True)
class EncodedPair:
    """The tokens of one pair: head, document, tail. `len()` is their number.

    All pairs of a query share its head and tail, so 1,000 documents hold the query once.
    """

    head: Segment
    """Special tokens and the query."""
    document: NDArray[np.int64]
    """Token ids of the document, or of one of its windows."""
    tail: Segment
    """Special tokens after the document."""
    document_type: int
    """Token type id of the document's tokens."""
    truncated: bool = False
    """True if the document was cut."""
    window: int = 0
    """Window of the document, from 0."""

    def __len__(self) -> int:
        return len(self.head) + len(self.document) + len(self.tail)


@dataclass(frozen=True, slots=True)
class KeyedPair:
    """A pair with its place in the request."""

    index: int
    """Position of the document in the request, from 0."""
    pair: EncodedPair
    key: bytes
    """Digest of the pair's tokens: with a score cache, equal pairs of several requests are scored once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchLimits:
    """Maximum size of a batch. The defaults of each engine are in `engine/batch_defaults.py`."""

    max_tokens: int
    """Maximum padded tokens: rows times the longest row. A pair longer than this runs alone."""
    min_tokens: int
    """Padded tokens below which a batch is not made smaller near the end of the queue."""
    max_pairs: int
    """Maximum number of rows."""
    min_length_ratio: float
    """Minimum length of a row relative to the longest row, from 0 to 1. Shorter pairs wait for another batch. A low
    ratio suits engines on which each batch has a high fixed cost, such as GPUs."""
    length_multiple: int
    """Rows are padded to a multiple of this many tokens, so that few different shapes occur."""
    max_length: int | None = None
    """Token limit of the model: rows are not padded beyond it. None: no limit."""

    def padded(self, length: int) -> int:
        """Return `length` rounded up to the multiple, but not beyond `max_length`."""
        rounded = -(-length // self.length_multiple) * self.length_multiple
        return rounded if self.max_length is None else max(length, min(rounded, self.max_length))


@dataclass(frozen=True, slots=True)
class Batch:
    """The arrays of a batch, all int64 of shape (rows, length)."""

    input_ids: NDArray[np.int64]
    attention_mask: NDArray[np.int64]
    """1 for the tokens of a pair, 0 for padding."""
    token_type_ids: NDArray[np.int64]

    @property
    def rows(self) -> int:
        """Number of pairs."""
        return int(self.input_ids.shape[0])

    @property
    def length(self) -> int:
        """Tokens of each row, padding included."""
        return int(self.input_ids.shape[1])


def collate(pairs: Sequence[EncodedPair], *, pad_id: int, limits: BatchLimits) -> Batch:
    """Return the pairs as a batch. Each pair is a row, padded on the right with `pad_id`."""
    shape = (len(pairs), limits.padded(max(map(len, pairs))))
    ids = np.full(shape, pad_id, np.int64)
    mask = np.zeros(shape, np.int64)
    types = np.zeros(shape, np.int64)
    for row, pair in enumerate(pairs):
        start, end, length = len(pair.head), len(pair.head) + len(pair.document), len(pair)
        ids[row, :start] = pair.head.ids
        ids[row, start:end] = pair.document
        ids[row, end:length] = pair.tail.ids
        types[row, :start] = pair.head.type_ids
        types[row, start:end] = pair.document_type
        types[row, end:length] = pair.tail.type_ids
        mask[row, :length] = 1
    return Batch(ids, mask, types)
