"""Comparison of each graph of a bundle with PyTorch, on the parity set."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from rerank_export.gate.drift import drift
from rerank_export.gate.graph_finding import GraphFinding, WorstPair
from rerank_export.gate.invariance import invariance
from rerank_export.gate.parity_set import ParitySet, encode_fitting
from rerank_export.gate.speed import pairs_per_second
from rerank_export.gate.tolerance import of_precision
from rerank_export.gate.torch_reference import TorchReference
from rerank_export.reporter import Progress
from rerank_export.variants.variant_graphs import BundleGraph
from rerank_service.encoding.tokenizer import PairTokenizer
from rerank_service.engine.available import works
from rerank_service.engine.batch_defaults import CPU_LIMITS, default_lanes
from rerank_service.engine.kinds import CPU_FP32, Engine, Precision, Provider
from rerank_service.engine.session import CrossEncoder
from rerank_service.models.bundle import Bundle
from rerank_service.models.manifest import Variant
from rerank_service.models.tuning.ranking_change import Logits
from rerank_service.models.tuning.throughput import Score, logits
from rerank_service.scheduling.batching import EncodedPair

_INVARIANCE_PAIRS = 8
"""Pairs in the invariance check. More rows of a long window may not fit in memory."""
_INVARIANCE_TOKENS = 256
"""Maximum length of these pairs, if some are that short."""


class GraphChecker:
    """The expected logits of the parity set, and the comparison of graphs with them."""

    def __init__(self, bundle: Bundle, reference: TorchReference, parity_set: ParitySet, progress: Progress) -> None:
        """Score the parity set with torch, which may take hours for a large model.

        Raises:
            ExportFailed: no query fits the model's window.
        """
        manifest = bundle.manifest
        self.bundle = bundle
        self.tokenizer = PairTokenizer(bundle.tokenizer, max_tokens=manifest.max_tokens, template=manifest.template)
        self.parity_set, self._encoded = encode_fitting(parity_set, self.tokenizer)
        self._progress = progress
        with progress("scoring with torch", len(self.parity_set.pairs)) as advance:
            self._expected = reference.logits(self.parity_set.pairs, advance)

    def check(self, graph: BundleGraph, *, rounded: bool) -> GraphFinding:
        """Compare a graph with torch. `rounded` says that its weights are rounded to fp16."""
        variant = graph.variant
        tolerance = of_precision(variant.precision, rounded=rounded)
        engine = engine_for(variant)
        if engine is None:
            return GraphFinding(graph=graph, tolerance=tolerance)
        encoder = CrossEncoder(self.bundle.folder / variant.file, engine, lanes=default_lanes(engine))
        seen = self._scored(encoder, variant.file)
        drifted = drift(seen, self._expected_by_query())
        manifest = self.bundle.manifest
        steady = invariance(
            encoder.score, self._invariance_pairs(), pad_id=manifest.pad_id, max_tokens=manifest.max_tokens
        )
        return GraphFinding(
            graph=graph,
            tolerance=tolerance,
            engine=str(engine),
            drift=drifted,
            invariance=steady,
            worst=self._worst(drifted.worst, np.concatenate(seen)),
            beyond=(*drifted.beyond(tolerance), *steady.beyond(tolerance)),
        )

    def speeds(self, findings: Sequence[GraphFinding]) -> dict[str, float]:
        """Return the pairs per second of each graph that runs on this machine's CPU, by file name."""
        scores: dict[str, Score] = {
            finding.graph.variant.file: CrossEncoder(self.bundle.folder / finding.graph.variant.file).score
            for finding in findings
            if finding.engine and finding.graph.variant.provider != Provider.CUDA.value
        }
        return pairs_per_second(scores, self._all_encoded(), self.bundle.manifest)

    def _expected_by_query(self) -> list[Logits]:
        return np.split(self._expected, np.cumsum([len(query) for query in self._encoded])[:-1])

    def _all_encoded(self) -> list[EncodedPair]:
        return [pair for query in self._encoded for pair in query]

    def _scored(self, encoder: CrossEncoder, name: str) -> list[Logits]:
        """Score each query with all lanes, in batches as the server forms them."""
        limits = replace(CPU_LIMITS, max_length=self.bundle.manifest.max_tokens)

        def score(query: list[EncodedPair]) -> Logits:
            return logits(encoder.score, query, limits, self.bundle.manifest.pad_id)

        scored = []
        with (
            self._progress(f"scoring with {name}", len(self.parity_set.pairs)) as advance,
            ThreadPoolExecutor(default_lanes(encoder.engine)) as pool,
        ):
            for result in pool.map(score, self._encoded):
                scored.append(result)
                advance(len(result))
        return scored

    def _invariance_pairs(self) -> list[EncodedPair]:
        """Return a few pairs of different queries and lengths."""
        pairs = self._all_encoded()
        short = [pair for pair in pairs if len(pair) <= _INVARIANCE_TOKENS] or pairs[:1]
        return short[:: max(1, len(short) // _INVARIANCE_PAIRS)][:_INVARIANCE_PAIRS]

    def _worst(self, at: int, seen: NDArray[np.float32]) -> WorstPair:
        query, document = self.parity_set.pairs[at]
        return WorstPair(query=query, document=document, logit=float(seen[at]), expected=float(self._expected[at]))


def engine_for(variant: Variant) -> Engine | None:
    """Return the engine that runs a graph here; None if the graph has operators that only CUDA has.

    Without a GPU, a graph for CUDA runs on the CPU: slowly, and with the same results except for the order of sums.
    """
    cuda = Engine(Provider.CUDA, Precision.FP16)
    if variant.provider == Provider.CUDA.value and works(cuda):
        return cuda
    return None if variant.layout == "packed" else CPU_FP32
