"""How unlike two scorings of the same queries are."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rerank_export.gate.tolerance import Tolerance, distance
from rerank_service.models.tuning.parity_set import kendall_tau_b

_TOP = 10

Logits = NDArray[np.float32]
"""Of a query's documents, float32 of shape (documents,)."""


@dataclass(frozen=True, slots=True)
class Drift:
    """Over all queries of a set."""

    max_difference: float
    """Of a logit; NaN where one is."""
    max_relative_difference: float
    """For its size where that is more than 1."""
    mean_difference: float
    tau: float
    """Mean Kendall tau-b."""
    top_10: float
    """Mean share of the ten best that are the same ones, in whichever order."""
    worst: int
    """Position, query by query, of the pair that differs most."""

    def beyond(self, allowed: Tolerance) -> list[str]:
        """What is not within a tolerance, each in a few words; a NaN is within none."""
        found = []
        if allowed.difference is not None and not self.max_relative_difference <= allowed.difference:
            found.append(f"logits differ by up to {self.max_difference:.1e} ({allowed.difference:.0e} is allowed)")
        elif not np.isfinite(self.max_difference):
            found.append("logits are not finite")
        if allowed.tau is not None and not self.tau >= allowed.tau:
            found.append(f"tau-b is {self.tau:.4f} ({allowed.tau} is the least)")
        if allowed.top_10 is not None and not self.top_10 >= allowed.top_10:
            found.append(f"top-10 overlap is {self.top_10:.4f} ({allowed.top_10} is the least)")
        return found


def drift(seen: Sequence[Logits], expected: Sequence[Logits]) -> Drift:
    """Of two scorings with the same queries, at least one, and documents."""
    ours, theirs = np.concatenate(seen), np.concatenate(expected)
    differences, relative = np.abs(ours - theirs), distance(ours, theirs)
    queries = list(zip(seen, expected, strict=True))
    return Drift(
        float(differences.max()),
        float(relative.max()),
        float(differences.mean()),
        float(np.mean([kendall_tau_b(first, second) for first, second in queries])),
        float(np.mean([_overlap(first, second) for first, second in queries])),
        int(np.argmax(np.nan_to_num(relative, nan=np.inf))),
    )


def _overlap(first: Logits, second: Logits) -> float:
    """Share of the ten best that are the same; of fewer documents, of all."""
    best = [set(np.argsort(-logits, kind="stable")[:_TOP].tolist()) for logits in (first, second)]
    return len(best[0] & best[1]) / len(best[0])
