"""The difference between two scorings of the same queries."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rerank_export.gate.tolerance import Tolerance, relative_distance
from rerank_service.models.tuning.parity_set import kendall_tau_b

_TOP = 10

Logits = NDArray[np.float32]
"""Logits of one query's documents, float32 of shape (documents,)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """Differences over all queries of a set."""

    max_difference: float
    """Largest difference of a logit; NaN if a logit is NaN."""
    max_relative_difference: float
    """The same, relative to the size of the expected logit if that is above 1."""
    mean_difference: float
    tau: float
    """Mean Kendall tau-b."""
    top_10: float
    """Mean share of the ten best documents that both scorings have, in any order."""
    worst: int
    """Index, query by query, of the pair with the largest relative difference."""

    def beyond(self, allowed: Tolerance) -> list[str]:
        """Return a message for each limit that is exceeded. A NaN exceeds every limit."""
        found = []
        if allowed.difference is not None and not self.max_relative_difference <= allowed.difference:
            found.append(f"logits differ by up to {self.max_difference:.1e} (allowed: {allowed.difference:.0e})")
        elif not np.isfinite(self.max_difference):
            found.append("logits are NaN or infinite")
        if allowed.tau is not None and not self.tau >= allowed.tau:
            found.append(f"tau-b is {self.tau:.4f} (at least {allowed.tau} is required)")
        if allowed.top_10 is not None and not self.top_10 >= allowed.top_10:
            found.append(f"top-10 overlap is {self.top_10:.4f} (at least {allowed.top_10} is required)")
        return found


def drift(seen: Sequence[Logits], expected: Sequence[Logits]) -> Drift:
    """Compare two scorings, each a list with one array per query; at least one query, and equal documents."""
    ours, theirs = np.concatenate(seen), np.concatenate(expected)
    differences, relative = np.abs(ours - theirs), relative_distance(ours, theirs)
    queries = list(zip(seen, expected, strict=True))
    return Drift(
        max_difference=float(differences.max()),
        max_relative_difference=float(relative.max()),
        mean_difference=float(differences.mean()),
        tau=float(np.mean([kendall_tau_b(first, second) for first, second in queries])),
        top_10=float(np.mean([_overlap(first, second) for first, second in queries])),
        worst=int(np.argmax(np.nan_to_num(relative, nan=np.inf))),
    )


def _overlap(first: Logits, second: Logits) -> float:
    """Return the share of the ten best documents (or all, if there are fewer) that both have."""
    best = [set(np.argsort(-logits, kind="stable")[:_TOP].tolist()) for logits in (first, second)]
    return len(best[0] & best[1]) / len(best[0])
