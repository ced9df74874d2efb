"""The change of rankings and probabilities between an engine and fp32, over all queries of a parity set."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rerank_service.models.tuning.gain_scale import GainScale
from rerank_service.models.tuning.parity_set import kendall_tau_b
from rerank_service.models.tuning.relevance_loss import (
    MAX_MEAN_LOSS,
    MAX_MEAN_MOVE,
    MAX_P99_MOVE,
    MAX_WORST_LOSS,
    TOP,
    probability_moves,
    relevance_loss,
)

Logits = NDArray[np.float32]
"""Logits of one query's documents, float32 of shape (documents,)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RankingBounds:
    """The largest change at which a ranking still matches fp32."""

    mean_loss: float = MAX_MEAN_LOSS
    worst_loss: float = MAX_WORST_LOSS
    mean_move: float = MAX_MEAN_MOVE
    p99_move: float = MAX_P99_MOVE

    def times(self, factor: float) -> "RankingBounds":
        """Return bounds that are multiples of these."""
        return RankingBounds(
            mean_loss=self.mean_loss * factor,
            worst_loss=self.worst_loss * factor,
            mean_move=self.mean_move * factor,
            p99_move=self.p99_move * factor,
        )


BOUNDS = RankingBounds()
"""The bounds of `auto` and of the export (docs/decisions/0050-relevance-loss.md)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RankingChange:
    """The change over all compared queries."""

    mean_loss: float
    """Mean relevance loss, from 0 to 1."""
    worst_loss: float
    """Largest relevance loss of a query."""
    mean_move: float
    """Mean change of the probability of a document, over the ten best documents of all queries."""
    p99_move: float
    """99th percentile of the same changes."""

    def beyond(self, bounds: RankingBounds = BOUNDS) -> tuple[str, ...]:
        """Return a message for each bound that is exceeded."""
        values = (
            ("mean relevance loss", self.mean_loss, bounds.mean_loss),
            ("relevance loss of the worst query", self.worst_loss, bounds.worst_loss),
            ("mean change of a top-ten probability", self.mean_move, bounds.mean_move),
            ("99th percentile of these changes", self.p99_move, bounds.p99_move),
        )
        return tuple(f"{name} {value:.4f} (allowed: {bound:g})" for name, value, bound in values if not value <= bound)


def ranking_change(
    references: Sequence[Logits], others: Sequence[Logits], *, unseen: int = 0, scale: GainScale | None = None
) -> RankingChange:
    """Compare the logits of another engine with those of fp32, query by query; at least one query.

    `unseen` more queries count as unchanged, so the result is the least change that the whole set can have on this
    scale. `scale`: None: the scale of these queries.
    """
    scale = scale or GainScale.of(references)
    queries = [(scale.scaled(ours), scale.scaled(theirs)) for ours, theirs in zip(references, others, strict=True)]
    losses = [relevance_loss(*query) for query in queries] + [0.0] * unseen
    moves = np.concatenate([*(probability_moves(*query) for query in queries), np.zeros(unseen * TOP)])
    return RankingChange(
        mean_loss=float(np.mean(losses)),
        worst_loss=max(losses),
        mean_move=float(np.mean(moves)),
        p99_move=float(np.percentile(moves, 99)),
    )


def mean_tau(references: Sequence[Logits], others: Sequence[Logits]) -> float:
    """Return the mean Kendall tau-b, from -1 to 1, over at least one query. It is reported, and has no bound."""
    return float(np.mean([kendall_tau_b(ours, theirs) for ours, theirs in zip(references, others, strict=True)]))
