"""Each graph of a bundle beside the model that it was made of."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rerank_export.gate.drift import Drift, Logits, drift
from rerank_export.gate.invariance import Invariance, invariance
from rerank_export.gate.parity_set import ParitySet, fitting
from rerank_export.gate.speed import pairs_per_second
from rerank_export.gate.tolerance import Tolerance, of_precision
from rerank_export.torch_model import TorchModel
from rerank_export.variants import Made
from rerank_service.cli.output.progress import progress
from rerank_service.encoding.tokenizer import PairTokenizer
from rerank_service.engine.available import works
from rerank_service.engine.batch_defaults import default_lanes
from rerank_service.engine.kinds import CPU_FP32, Engine, Precision, Provider
from rerank_service.engine.session import CrossEncoder
from rerank_service.errors import excerpt
from rerank_service.models.bundle import Bundle, Variant
from rerank_service.models.tuning.throughput import Score, logits
from rerank_service.quantities import counted
from rerank_service.scheduling.batching import BatchLimits, EncodedPair

_FEW = 8
"""Pairs whose logits must not depend on each other; more rows of a long window may not fit in memory."""
_SHORT = 256
"""Tokens of the longest of them, where there are others."""


@dataclass(frozen=True, slots=True)
class Worst:
    """The pair that differs most."""

    query: str
    document: str
    logit: float
    expected: float
    """What torch gives."""

    def __str__(self) -> str:
        return (
            f"“{excerpt(self.query)}” with “{excerpt(self.document)}”: {self.logit:.4f}, by torch {self.expected:.4f}"
        )


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found of a graph."""

    made: Made
    tolerance: Tolerance
    engine: str = ""
    """What ran it; empty where nothing here can."""
    drift: Drift | None = None
    invariance: Invariance | None = None
    worst: Worst | None = None
    beyond: tuple[str, ...] = ()
    """What is outside the tolerance."""

    @property
    def verdict(self) -> str:
        """In a word or two."""
        if not self.engine:
            return "not run"
        return "drift" if self.beyond else "passed"

    def told(self) -> str:
        """In a line."""
        parts = [f"{self.made.variant.file}: {'; '.join((self.verdict, *self.beyond))}"]
        if self.drift:
            parts.append(f"max |Δlogit| {self.drift.max_difference:.1e}, tau-b {self.drift.tau:.4f}")
            parts.append(f"top-10 overlap {self.drift.top_10:.4f}")
        else:
            parts.append("it takes CUDA")
        if self.made.products:
            products = counted(self.made.products + len(self.made.left_out), "product")
            parts.append(f"{self.made.products:,} of {products} in 8 bits")
        return ", ".join(parts)


class Judge:
    """Knows what torch makes of the parity set, and compares graphs with that."""

    def __init__(self, bundle: Bundle, model: TorchModel, parity_set: ParitySet) -> None:
        """Takes as long as torch takes to score the set.

        Raises:
            ExportFailed: no query fits the model's window.
        """
        manifest = bundle.manifest
        self.bundle = bundle
        self.tokenizer = PairTokenizer(bundle.tokenizer, max_tokens=manifest.max_tokens, template=manifest.template)
        self.parity_set, self._encoded = fitting(parity_set, self.tokenizer)
        with progress("by torch", len(self.parity_set.pairs)) as advance:
            self._flat = model.logits(self.parity_set.pairs, advance)
        self._expected = np.split(self._flat, np.cumsum([len(query) for query in self._encoded])[:-1])

    def find(self, made: Made, *, rounded: bool) -> Finding:
        """Compare a graph. Its weights may be `rounded` to 16 bits."""
        variant = made.variant
        tolerance = of_precision(variant.precision, rounded=rounded)
        engine = engine_for(variant)
        if engine is None:
            return Finding(made, tolerance)
        encoder = CrossEncoder(self.bundle.folder / variant.file, engine, lanes=default_lanes(engine))
        seen = self._scored(encoder, variant.file)
        drifted = drift(seen, self._expected)
        manifest = self.bundle.manifest
        steady = invariance(encoder.score, self._few(), pad_id=manifest.pad_id, max_tokens=manifest.max_tokens)
        beyond = (*drifted.beyond(tolerance), *steady.beyond(tolerance))
        worst = self._worst(drifted.worst, np.concatenate(seen))
        return Finding(made, tolerance, str(engine), drifted, steady, worst, beyond)

    def speeds(self, findings: Sequence[Finding]) -> dict[str, float]:
        """Pairs a second of each graph that runs on this machine's processor, by its file."""
        scores: dict[str, Score] = {
            finding.made.variant.file: CrossEncoder(self.bundle.folder / finding.made.variant.file).score
            for finding in findings
            if finding.engine and finding.made.variant.provider != Provider.CUDA.value
        }
        pairs = [pair for query in self._encoded for pair in query]
        return pairs_per_second(scores, pairs, self.bundle.manifest.pad_id)

    def _scored(self, encoder: CrossEncoder, name: str) -> list[Logits]:
        """Of each query, in batches as the lanes would."""
        limits = BatchLimits(max_length=self.bundle.manifest.max_tokens)

        def one(query: list[EncodedPair]) -> NDArray[np.float32]:
            return logits(encoder.score, query, limits, self.bundle.manifest.pad_id)

        seen = []
        with (
            progress(f"by {name}", len(self.parity_set.pairs)) as advance,
            ThreadPoolExecutor(default_lanes(encoder.engine)) as pool,
        ):
            for found in pool.map(one, self._encoded):
                seen.append(found)
                advance(len(found))
        return seen

    def _few(self) -> list[EncodedPair]:
        """Pairs of different queries and lengths."""
        pairs = [pair for query in self._encoded for pair in query]
        short = [pair for pair in pairs if len(pair) <= _SHORT] or pairs[:1]
        return short[:: max(1, len(short) // _FEW)][:_FEW]

    def _worst(self, at: int, seen: NDArray[np.float32]) -> Worst:
        query, document = self.parity_set.pairs[at]
        return Worst(query, document, float(seen[at]), float(self._flat[at]))


def engine_for(variant: Variant) -> Engine | None:
    """What runs a graph here. One for CUDA is computed on the processor where there is no GPU: slowly, and alike but
    for the order of sums. None where it has operators that only CUDA has."""
    cuda = Engine(Provider.CUDA, Precision.FP16)
    if variant.provider == Provider.CUDA.value and works(cuda):
        return cuda
    return None if variant.layout == "packed" else CPU_FP32
