"""The result of checking one graph."""

from dataclasses import dataclass

from rerank_export.gate.drift import Drift
from rerank_export.gate.invariance import Invariance
from rerank_export.gate.tolerance import Tolerance
from rerank_export.variants.variant_graphs import BundleGraph
from rerank_service.error_text import excerpt


@dataclass(frozen=True, slots=True, kw_only=True)
class WorstPair:
    """The pair whose logit differs most."""

    query: str
    document: str
    logit: float
    expected: float
    """The logit of torch."""

    def __str__(self) -> str:
        return f"“{excerpt(self.query)}” with “{excerpt(self.document)}”: {self.logit:.4f}, torch: {self.expected:.4f}"


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphFinding:
    """The measurements of a graph. They are None if no engine here can run it."""

    graph: BundleGraph
    tolerance: Tolerance
    engine: str = ""
    """The engine that ran it; empty if none here can."""
    drift: Drift | None = None
    invariance: Invariance | None = None
    worst: WorstPair | None = None
    beyond: tuple[str, ...] = ()
    """A message for each limit that is exceeded."""

    @property
    def verdict(self) -> str:
        """One of "passed", "drift" and "not run"."""
        if not self.engine:
            return "not run"
        return "drift" if self.beyond else "passed"

    def summary(self) -> str:
        """Return the finding as one line."""
        parts = [f"{self.graph.variant.file}: {'; '.join((self.verdict, *self.beyond))}"]
        if self.drift:
            loss = self.drift.ranking
            parts.append(f"max |Δlogit| {self.drift.max_difference:.1e}")
            parts.append(f"relevance loss {loss.mean_loss:.4f} (worst query {loss.worst_loss:.4f})")
            parts.append(f"tau-b {self.drift.tau:.4f}")
        else:
            parts.append("it runs on CUDA only")
        if self.graph.int8_products:
            total = self.graph.int8_products + len(self.graph.left_out)
            parts.append(f"{self.graph.int8_products} of {total} products in int8")
        return ", ".join(parts)
