"""How large a batch may be, and how pairs become its arrays. Pure: which pairs those are is fairness.py's."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Segment:
    """A run of tokens with their token type ids. Both arrays are int64, of one length."""

    ids: NDArray[np.int64]
    type_ids: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, slots=True)
class EncodedPair:
    """One (query, document) pair: head + document + tail. `len()` is its tokens.

    Head (special tokens and the query) and tail are shared by all pairs of a request, so that a thousand
    documents hold their query once.
    """

    head: Segment
    document: NDArray[np.int64]
    tail: Segment
    document_type: int
    truncated: bool = False
    window: int = 0
    """Which of its document's windows it is."""

    def __len__(self) -> int:
        return len(self.head) + len(self.document) + len(self.tail)


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """How large a batch may become."""

    max_tokens: int = 512
    """Padded tokens: rows times the longest row. A pair longer than this runs alone."""
    min_tokens: int = 256
    """Padded tokens below which a batch is not made smaller, however little waits."""
    max_pairs: int = 64
    """Rows."""
    likeness: float = 0.85
    """Rows shorter than this share of the longest are left for a batch of their own. Where a batch costs much by
    itself, as on a GPU, less is right."""
    length_multiple: int = 4
    """Rows are padded to a multiple of this, so that few shapes occur."""

    max_length: int | None = None
    """Tokens that the model has positions for; rows are not padded beyond."""

    def padded(self, length: int) -> int:
        """`length` rounded up to the multiple."""
        rounded = -(-length // self.length_multiple) * self.length_multiple
        return rounded if self.max_length is None else max(length, min(rounded, self.max_length))


@dataclass(frozen=True, slots=True)
class Batch:
    """Padded arrays, all int64 of shape (rows, length)."""

    input_ids: NDArray[np.int64]
    attention_mask: NDArray[np.int64]
    token_type_ids: NDArray[np.int64]

    @property
    def rows(self) -> int:
        """Pairs in the batch."""
        return int(self.input_ids.shape[0])

    @property
    def length(self) -> int:
        """Tokens of each row, padding included."""
        return int(self.input_ids.shape[1])


def collate(pairs: Sequence[EncodedPair], *, pad_id: int, limits: BatchLimits) -> Batch:
    """Lay pairs out as rows, padded on the right to the longest."""
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
