"""Whether a pair's logit depends on what it is computed beside."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
from numpy.typing import NDArray

from rerank_export.gate.tolerance import Tolerance, distance
from rerank_service.models.tuning.throughput import Score
from rerank_service.scheduling.batching import BatchLimits, EncodedPair, collate

_PADDED_TO = 64
"""A multiple of so many tokens: most pairs get some padding, a short one much."""
_ALONE = BatchLimits(length_multiple=1)


@dataclass(frozen=True, slots=True)
class Invariance:
    """The largest differences, of a logit for its size, from the same pair alone and without padding."""

    padding: float
    """Alone, with padding."""
    batch: float
    """In a batch with others, padded to the longest."""
    order: float
    """In that batch, the other way round, from the batch."""

    def beyond(self, allowed: Tolerance) -> list[str]:
        """What is not within a tolerance; a NaN is within none."""
        return [
            f"a pair's logit changes by {value:.1e} with {name} ({allowed.invariance:.0e} is allowed)"
            for name, value in asdict(self).items()
            if not value <= allowed.invariance
        ]


def invariance(score: Score, pairs: Sequence[EncodedPair], *, pad_id: int, max_tokens: int) -> Invariance:
    """Of a few pairs of different lengths."""

    def logits(batch: Sequence[EncodedPair], limits: BatchLimits) -> NDArray[np.float32]:
        return score(collate(list(batch), pad_id=pad_id, limits=replace(limits, max_length=max_tokens)))

    def one_by_one(limits: BatchLimits) -> NDArray[np.float32]:
        return np.concatenate([logits([pair], limits) for pair in pairs])

    alone = one_by_one(_ALONE)
    together = logits(pairs, _ALONE)
    reversed_ = logits(pairs[::-1], _ALONE)[::-1]
    padded = one_by_one(replace(_ALONE, length_multiple=_PADDED_TO))
    return Invariance(
        float(distance(padded, alone).max()),
        float(distance(together, alone).max()),
        float(distance(reversed_, together).max()),
    )
