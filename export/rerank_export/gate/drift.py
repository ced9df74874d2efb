"""The difference between two scorings of the same queries."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rerank_export.gate.tolerance import Tolerance, relative_distance
from rerank_service.models.tuning.ranking_change import Logits, RankingChange, mean_tau, ranking_change
from rerank_service.models.tuning.relevance_loss import TOP


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """Differences over all queries of a set."""

    max_difference: float
    """Largest difference of a logit; NaN if a logit is NaN."""
    max_relative_difference: float
    """The same, relative to the size of the expected logit if that is above 1."""
    mean_difference: float
    ranking: RankingChange
    """Relevance loss, and changes of the best documents' probabilities."""
    tau: float
    """Mean Kendall tau-b. It is reported, and has no limit."""
    top_10: float
    """Mean share of the ten best documents that both scorings have, in any order. It has no limit either."""
    worst: int
    """Index, query by query, of the pair with the largest relative difference."""

    def beyond(self, allowed: Tolerance) -> list[str]:
        """Return a message for each limit that is exceeded. A NaN exceeds every limit."""
        found = []
        if allowed.difference is not None and not self.max_relative_difference <= allowed.difference:
            found.append(f"logits differ by up to {self.max_difference:.1e} (allowed: {allowed.difference:.0e})")
        elif not np.isfinite(self.max_difference):
            found.append("logits are NaN or infinite")
        if allowed.ranking is not None:
            found.extend(self.ranking.beyond(allowed.ranking))
        return found


def drift(seen: Sequence[Logits], expected: Sequence[Logits]) -> Drift:
    """Compare two scorings, each a list with one array per query; at least one query, and equal documents."""
    ours, theirs = np.concatenate(seen), np.concatenate(expected)
    differences, relative = np.abs(ours - theirs), relative_distance(ours, theirs)
    return Drift(
        max_difference=float(differences.max()),
        max_relative_difference=float(relative.max()),
        mean_difference=float(differences.mean()),
        ranking=ranking_change(expected, seen),
        tau=mean_tau(expected, seen),
        top_10=float(np.mean([_overlap(first, second) for first, second in zip(seen, expected, strict=True)])),
        worst=int(np.argmax(np.nan_to_num(relative, nan=np.inf))),
    )


def _overlap(first: Logits, second: Logits) -> float:
    """Return the share of the ten best documents (or all, if there are fewer) that both have."""
    best = [set(np.argsort(-logits, kind="stable")[:TOP].tolist()) for logits in (first, second)]
    return len(best[0] & best[1]) / len(best[0])
