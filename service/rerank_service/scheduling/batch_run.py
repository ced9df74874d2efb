"""Score one batch. If the model fails on it, score its halves, so that one bad pair fails alone. A pair that is out of
memory runs again while no other batch runs.

Rule: this module knows no queue and no request. The scheduler acts on the outcomes.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rerank_service.errors import InferenceFailed, OutOfMemory, WeightsChanged
from rerank_service.quantities import counted
from rerank_service.scheduling.batch_cancellation import CancelToken
from rerank_service.scheduling.batching import Batch, BatchLimits, collate
from rerank_service.scheduling.solo_runs import SoloRuns
from rerank_service.scheduling.submission import WaitingPair

Score = Callable[[Batch, CancelToken], NDArray[np.float32]]
"""Return the logits of a batch, float32 of shape (rows,). Blocks, and is called from several threads at once. Raises
when the batch is cancelled, if the engine can stop."""

_MEMORY_RETRIES = 2
"""Further runs of a pair that was out of memory. In the first one, no other batch uses memory. It ends with a smaller
memory arena (engine/io_binding.py), in which the second one runs."""

WrapScore = Callable[[Score], Score]
"""Return a score function that calls the given one, for example to record its batches."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchScored:
    """A batch that ran."""

    entries: Sequence[WaitingPair]
    logits: Sequence[float]
    """Logit of each entry."""
    rows: int
    length: int
    """Tokens of each row, padding included."""
    real_tokens: int
    """Tokens of all rows, without padding."""
    started: float
    """Seconds on the scheduler's clock."""
    ended: float
    """Seconds on the scheduler's clock."""


@dataclass(frozen=True, slots=True)
class BatchCancelled:
    """A batch that was cancelled."""

    entries: Sequence[WaitingPair]


@dataclass(frozen=True, slots=True)
class MemoryExceeded:
    """A batch that ran out of memory. The outcomes of its halves follow."""

    tokens: int
    """Padded tokens of the batch."""
    error: OutOfMemory


@dataclass(frozen=True, slots=True)
class PairFailed:
    """A pair on which the model fails even when it is the only one of its batch."""

    entry: WaitingPair
    error: InferenceFailed


Outcome = BatchScored | BatchCancelled | MemoryExceeded | PairFailed


class BatchRunner:
    """Scores batches with a model."""

    def __init__(self, score: Score, limits: BatchLimits, *, pad_id: int, clock: Callable[[], float]) -> None:
        """`pad_id` is the token id of padding; `clock` is the scheduler's."""
        self._score = score
        self._limits = limits
        self._pad_id = pad_id
        self._clock = clock
        self._solo_runs = SoloRuns()

    def run(self, entries: Sequence[WaitingPair], token: CancelToken) -> Iterator[Outcome]:
        """Score pairs, and yield the outcome of the batch, or of the parts into which it was split. Blocks.

        Raises:
            WeightsChanged: the files of the model were changed, so that no pair can be scored.
        """
        yield from self._run(entries, token, self._solo_runs.beside_others(), retries=_MEMORY_RETRIES)

    def _run(
        self, entries: Sequence[WaitingPair], token: CancelToken, turn: AbstractContextManager[None], retries: int
    ) -> Iterator[Outcome]:
        """Score pairs in a turn. `retries` is the number of further runs of a pair that is out of memory."""
        try:
            with turn:
                started = self._clock()
                batch = collate([entry.pair for entry in entries], pad_id=self._pad_id, limits=self._limits)
                logits = self._score(batch, token).tolist()
                ended = self._clock()
        except WeightsChanged:  # no pair of this model can be scored any more
            raise
        except Exception as error:  # noqa: BLE001 - an error of the engine fails the pair, not the lane
            yield from self._failed(entries, token, error, retries)
        else:
            yield BatchScored(
                entries=entries,
                logits=logits,
                rows=batch.rows,
                length=batch.length,
                real_tokens=int(batch.attention_mask.sum()),
                started=started,
                ended=ended,
            )

    def _failed(
        self, entries: Sequence[WaitingPair], token: CancelToken, error: Exception, retries: int
    ) -> Iterator[Outcome]:
        if token.cancelled:
            yield BatchCancelled(entries)
        elif len(entries) == 1 and isinstance(error, OutOfMemory) and retries:
            yield from self._run(entries, token, self._solo_runs.alone(), retries - 1)
        elif len(entries) == 1:
            failure = _failure(entries[0], error)
            failure.__cause__ = error
            yield PairFailed(entries[0], failure)
        else:
            if isinstance(error, OutOfMemory):
                longest = max(self._limits.padded(len(entry.pair)) for entry in entries)
                yield MemoryExceeded(len(entries) * longest, error)
            middle = len(entries) // 2
            yield from self.run(entries[:middle], token)
            yield from self.run(entries[middle:], token)


def _failure(entry: WaitingPair, error: Exception) -> InferenceFailed:
    if isinstance(error, OutOfMemory):
        return OutOfMemory(
            f"there is no memory for documents[{entry.index}], of {counted(len(entry.pair), 'token')}: "
            "send a shorter document"
        )
    return InferenceFailed(f"the model failed on documents[{entry.index}]")
