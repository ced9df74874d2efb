"""The change of a pair's logit with the batch that it is computed in."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
from numpy.typing import NDArray

from rerank_export.gate.tolerance import Tolerance, relative_distance
from rerank_service.engine.batch_defaults import CPU_LIMITS
from rerank_service.models.tuning.throughput import Score
from rerank_service.scheduling.batching import BatchLimits, EncodedPair, collate

_PADDED_TO = 64
"""Padded lengths are a multiple of so many tokens: most pairs get some padding, a short pair gets much."""
_UNPADDED = replace(CPU_LIMITS, length_multiple=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Invariance:
    """Largest relative differences of a logit."""

    padding: float
    """Between a pair alone with padding, and without."""
    batch: float
    """Between a pair in a batch, padded to the longest, and alone."""
    order: float
    """Between a batch in reverse order, and the same batch."""

    def beyond(self, allowed: Tolerance) -> list[str]:
        """Return a message for each difference above the limit. A NaN is above it."""
        return [
            f"a pair's logit changes by {value:.1e} with {name} (allowed: {allowed.invariance:.0e})"
            for name, value in asdict(self).items()
            if not value <= allowed.invariance
        ]


def invariance(score: Score, pairs: Sequence[EncodedPair], *, pad_id: int, max_tokens: int) -> Invariance:
    """Measure the changes on a few pairs of different lengths. `score` computes the logits of a batch."""

    def logits(batch: Sequence[EncodedPair], limits: BatchLimits) -> NDArray[np.float32]:
        return score(collate(list(batch), pad_id=pad_id, limits=replace(limits, max_length=max_tokens)))

    def one_by_one(limits: BatchLimits) -> NDArray[np.float32]:
        return np.concatenate([logits([pair], limits) for pair in pairs])

    alone = one_by_one(_UNPADDED)
    together = logits(pairs, _UNPADDED)
    reversed_ = logits(pairs[::-1], _UNPADDED)[::-1]
    padded = one_by_one(replace(_UNPADDED, length_multiple=_PADDED_TO))
    return Invariance(
        padding=float(relative_distance(padded, alone).max()),
        batch=float(relative_distance(together, alone).max()),
        order=float(relative_distance(reversed_, together).max()),
    )
