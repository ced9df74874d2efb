"""Pairs as token ids, the size limits of a batch, and the arrays of a batch.

Pure. `fair_queue.py` chooses the pairs of a batch.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

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
    """Token ids of the document, or of one of its windows, after those of the template's text before it."""
    tail: Segment
    """Special tokens after the document."""
    document_type: int
    """Token type id of the document's tokens."""
    truncated: bool = False
    """True if the document was cut."""
    window: int = 0
    """Window of the document, from 0."""
    _tokens: int = field(init=False, repr=False, compare=False)
    """Kept, because each stage of a request asks for it."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "_tokens", len(self.head.ids) + len(self.document) + len(self.tail.ids))

    def __len__(self) -> int:
        return self._tokens


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
    """Padded tokens below which a batch is not made smaller near the end of the queue, or beside small requests."""
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
    lengths = np.array([len(pair) for pair in pairs])
    width = limits.padded(int(lengths.max()))
    used = np.arange(width) < lengths[:, np.newaxis]
    ids = np.full(used.shape, pad_id, np.int64)
    ids[used] = np.concatenate([part for pair in pairs for part in (pair.head.ids, pair.document, pair.tail.ids)])
    types = np.zeros(used.shape, np.int64)
    types[used] = np.concatenate(_type_ids(pairs, width))
    return Batch(ids, used.astype(np.int64), types)


def _type_ids(pairs: Sequence[EncodedPair], width: int) -> list[NDArray[np.int64]]:
    """Return the token types of head, document and tail of each pair. No document has more than `width` tokens."""
    equal = {kind: np.full(width, kind, np.int64) for kind in {pair.document_type for pair in pairs}}
    return [
        part
        for pair in pairs
        for part in (pair.head.type_ids, equal[pair.document_type][: len(pair.document)], pair.tail.type_ids)
    ]
