"""Check a loaded model by its golden pairs: does it return the logits that its graph had at export?

Digests show that files are those of the manifest. They do not show that the manifest belongs to this model, or that the
engine computes correctly on this machine. docs/decisions/0042-golden-pairs.md has the measurements.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rerank_service.encoding.tokenizer import PairTokenizer
from rerank_service.engine.kinds import Engine, Precision
from rerank_service.error_text import excerpt
from rerank_service.errors import BundleInvalid, InvalidRequest
from rerank_service.models.bundle import Bundle
from rerank_service.models.golden_pairs import GoldenPair, read_golden_pairs
from rerank_service.models.served_model import ServedModel
from rerank_service.models.tuning.throughput import Score, logits
from rerank_service.scheduling.batching import BatchLimits, EncodedPair

TOLERANCE = {Precision.FP32: 3e-4, Precision.FP16: 0.1, Precision.BF16: 0.1, Precision.INT8: 0.3}
"""Largest difference of a logit, by the precision of the engine. It is relative to the largest golden logit, if that is
above 1."""


def check_golden(model: ServedModel) -> float | None:
    """Score the golden pairs of a model on its engine, and compare the logits. Blocks for one or two short batches.

    Returns the largest difference of a logit; None if the model has no golden pairs.

    Raises:
        BundleInvalid: the golden pairs are invalid, or a logit differs by more than the tolerance. The message has the
            pair, both logits and the tolerance.
    """
    golden = GoldenCheck.read(model.bundle, model.tokenizer)
    return golden.difference(model.encoder.engine, model.encoder.score, model.scheduler.limits)


@dataclass(frozen=True, slots=True)
class GoldenCheck:
    """The golden pairs of a bundle, with which several engines are checked."""

    bundle: Bundle
    pairs: tuple[GoldenPair, ...]
    encoded: Sequence[EncodedPair]

    @classmethod
    def read(cls, bundle: Bundle, tokenizer: PairTokenizer) -> "GoldenCheck":
        """Read and encode the golden pairs of a bundle, which may have none.

        Raises:
            BundleInvalid: the golden pairs are invalid.
        """
        pairs = read_golden_pairs(bundle)
        try:
            return cls(bundle, pairs, _encoded(tokenizer, pairs))
        except InvalidRequest as error:
            raise BundleInvalid(f"{bundle.folder}: a golden pair does not fit the model: {error}") from error

    def difference(self, engine: Engine, score: Score, limits: BatchLimits) -> float | None:
        """Score the pairs on an engine, and return the largest difference of a logit, as `check_golden`.

        Raises:
            BundleInvalid: a logit differs by more than the tolerance.
        """
        if not self.pairs:
            return None
        expected = np.array([pair.logit for pair in self.pairs], np.float32)
        scored = logits(score, self.encoded, limits, self.bundle.manifest.pad_id)
        tolerance = TOLERANCE[engine.precision] * max(1.0, float(np.abs(expected).max()))
        differences = np.abs(scored - expected)
        worst = int(differences.argmax())  # NaN, if there is one
        if not differences[worst] <= tolerance:
            raise BundleInvalid(_message(self.bundle, engine, self.pairs[worst], float(scored[worst]), tolerance))
        return float(differences[worst])


def _encoded(tokenizer: PairTokenizer, pairs: Sequence[GoldenPair]) -> list[EncodedPair]:
    return [tokenizer.encode_documents(tokenizer.encode_query(pair.query), [pair.document])[0] for pair in pairs]


def _message(bundle: Bundle, engine: Engine, pair: GoldenPair, logit: float, tolerance: float) -> str:
    return (
        f"{bundle.folder} does not score on {engine} as it did at export: the pair "
        f"{excerpt(pair.query)!r} with {excerpt(pair.document)!r} has the logit {logit:.4f} instead of "
        f"{pair.logit:.4f} (allowed difference: {tolerance:.4f}). Its graph, weights or tokenizer were changed, or the "
        "engine is wrong on this machine: export the model again, or set another --provider or --precision"
    )
