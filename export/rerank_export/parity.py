"""Whether a bundle scores as its source does."""

import importlib.metadata
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rerank_export.torch_model import TorchModel
from rerank_service.encoding.tokenizer import PairTokenizer
from rerank_service.engine.session import CrossEncoder
from rerank_service.models.bundle import Bundle
from rerank_service.scheduling.batching import Batch, BatchLimits, EncodedPair, collate

_QUERIES = (
    "What is the capital of the United States?",
    "how to reset a forgotten password",
    "¿Cuáles son los síntomas de la gripe?",
    "🚀 launch window for mars",
)
_DOCUMENTS = (
    "Washington, D.C. is the capital of the United States. It is a federal district.",
    "Open the sign-in page, choose “Forgot password”, and follow the link that is sent to you.",
    "La gripe causa fiebre, tos, dolor de cabeza y cansancio; 流感会引起发烧和咳嗽。",
    "A launch window to Mars opens every 26 months 🪐🚀, when the planets line up.",
    "ok",
    "",
    "x" * 300,
    "The quick brown fox jumps over the lazy dog. " * 200,
)
_ROWS = 2
"""Of a batch: one is padded, and a model with a window of thousands still fits in memory."""
PAIRS = tuple((query, document) for query in _QUERIES for document in _DOCUMENTS)


@dataclass(frozen=True, slots=True)
class Parity:
    """How the bundle compares with its source. Differences are of logits, the largest over all pairs."""

    pairs: int
    tolerance: float
    max_difference: float
    """Against transformers in fp32."""
    max_batch_difference: float
    """Of a pair scored in a padded batch with the others, against the same pair scored alone."""
    worst_pair: int

    @property
    def holds(self) -> bool:
        """Whether both are within the tolerance."""
        # each by itself: max() may lose a NaN
        return self.max_difference <= self.tolerance and self.max_batch_difference <= self.tolerance


def compare(bundle: Bundle, model: TorchModel, tolerance: float) -> Parity:
    """Score the built-in pairs with the bundle, by the code that serves it, and with transformers."""
    expected = model.logits(PAIRS)
    alone, together = _bundle_logits(bundle)
    differences = np.abs(alone - expected)
    return Parity(
        len(PAIRS),
        tolerance,
        float(differences.max()),
        float(np.abs(together - alone).max()),
        int(differences.argmax()),
    )


def sample(bundle: Bundle) -> list[Batch]:
    """A few of the built-in pairs as batches, padded and not, to compare graphs on."""
    pairs = _encode(bundle)[: len(_DOCUMENTS) - 1]  # all but the longest document
    limits = BatchLimits(max_length=bundle.manifest.max_tokens)
    return [collate(batch, pad_id=bundle.manifest.pad_id, limits=limits) for batch in (pairs, pairs[:1], pairs[-1:])]


def _encode(bundle: Bundle) -> list[EncodedPair]:
    manifest = bundle.manifest
    tokenizer = PairTokenizer(bundle.tokenizer, max_tokens=manifest.max_tokens, template=manifest.template)
    return [
        pair for query in _QUERIES for pair in tokenizer.encode_documents(tokenizer.encode_query(query), _DOCUMENTS)
    ]


def _bundle_logits(bundle: Bundle) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Logits of the built-in pairs scored each alone, and two by two, padded to the longer."""
    session = CrossEncoder(bundle.graph)
    pairs = _encode(bundle)

    def score(size: int) -> NDArray[np.float32]:
        batches = [pairs[at : at + size] for at in range(0, len(pairs), size)]
        return np.concatenate(
            [session.score(collate(batch, pad_id=bundle.manifest.pad_id, limits=BatchLimits())) for batch in batches]
        )

    return score(1), score(_ROWS)


def versions() -> dict[str, str]:
    """Of the packages that took part."""
    return {
        name: importlib.metadata.version(name)
        for name in ("torch", "transformers", "optimum-onnx", "onnx", "onnxruntime", "tokenizers")
    }
