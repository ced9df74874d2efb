"""Relevance loss: what users lose when another engine than fp32 orders their documents.

The gain of a document is its fp32 probability. A swap of two documents that are both irrelevant costs nothing, unlike
in Kendall's tau-b. docs/decisions/0050-relevance-loss.md has the evidence for the bounds.
"""

import numpy as np
from numpy.typing import NDArray

from rerank_service.ranking.calibration_curve import sigmoid

TOP = 10
"""Ranks that count. Documents below have no gain."""
MAX_MEAN_LOSS = 0.002
"""Maximum mean relevance loss over the queries of a parity set."""
MAX_WORST_LOSS = 0.02
"""Maximum relevance loss of a single query."""
MAX_MEAN_MOVE = 0.01
"""Maximum mean change of the probability of a document, over the top ten of all queries."""
MAX_P99_MOVE = 0.05
"""Maximum 99th percentile of the same changes."""


def relevance_loss(reference: NDArray[np.floating], other: NDArray[np.floating]) -> float:
    """Return 1 - nDCG@10 of the ranking by `other`, from 0 to 1. The gain of each document is sigmoid(reference).

    Both are logits of the same documents in the same order, shape (documents,). Probabilities are computed in float64:
    in float32, all logits above 17 have the probability 1.

    Documents that `other` ties share the mean discount of their ranks. So the loss is the expected value over all
    orders of the tied documents. Source: McSherry and Najork, Computing information retrieval performance measures
    efficiently in the presence of tied scores, ECIR 2008.

    Special cases: a logit that is NaN or infinite gives 1. If the ideal gain is 0 (no documents, or every probability
    is 0), the loss is 0.
    """
    if not _finite(reference, other):
        return 1.0
    gains = sigmoid(reference.astype(np.float64))
    discounts = _discounts(len(gains))
    ideal = float(np.sort(gains)[::-1] @ discounts)
    if not ideal:
        return 0.0
    _, group, sizes = np.unique(-other, return_inverse=True, return_counts=True)
    shared = np.add.reduceat(discounts, np.cumsum(sizes) - sizes) / sizes
    return min(1.0, max(0.0, 1.0 - float(gains @ shared[group]) / ideal))  # rounding can leave [0, 1] by 1e-16


def probability_moves(reference: NDArray[np.floating], other: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return how far `other` moves the probability of each of the ten best documents by `reference`.

    Arguments as in `relevance_loss`. The result has shape (min(documents, 10),); its values are from 0 to 1, the best
    document first. If a logit is NaN or infinite, every value is 1.
    """
    if not _finite(reference, other):
        return np.ones(min(len(reference), TOP))
    best = np.argsort(-reference, kind="stable")[:TOP]
    moves: NDArray[np.float64] = np.abs(_probabilities(other, best) - _probabilities(reference, best))
    return moves


def _probabilities(logits: NDArray[np.floating], best: NDArray[np.int64]) -> NDArray[np.float64]:
    return sigmoid(logits[best].astype(np.float64))


def _discounts(count: int) -> NDArray[np.float64]:
    """Return 1 / log2(rank + 1) of each rank up to TOP, and 0 for the ranks below; shape (count,)."""
    ranks = np.arange(1, count + 1)
    return np.where(ranks <= TOP, 1.0 / np.log2(ranks + 1), 0.0)


def _finite(*logits: NDArray[np.floating]) -> bool:
    return all(bool(np.isfinite(each).all()) for each in logits)
