"""Built-in pairs at the edges of a model's input, such as empty and very long documents, and their comparison."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import cycle, islice

import numpy as np
from numpy.typing import NDArray

from rerank_export.gate.tolerance import relative_distance
from rerank_export.gate.torch_reference import TorchReference
from rerank_service.encoding.tokenizer import PairTokenizer
from rerank_service.engine.batch_defaults import CPU_LIMITS
from rerank_service.engine.session import CrossEncoder
from rerank_service.models.bundle import Bundle
from rerank_service.scheduling.batching import Batch, BatchLimits, EncodedPair, collate

_QUERIES = (
    "What is the capital of the United States?",
    "how to reset a forgotten password",
    "¿Cuáles son los síntomas de la gripe?",
    "🚀 launch window for mars",
    "🜁🜂",  # unknown words only, for most vocabularies
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
_LONGEST_AT = len(_DOCUMENTS) - 1
"""Index of the pair that fills the token limit: the first query with the last document, which is made longer."""
_LONGEST_WORDS = 4500
"""Maximum words of that document. Models that compute long texts in another way do so above 512, 2,048 or 4,096 tokens.
Attention to 8,192 tokens needs about 0.8 GB for each head, so that a model with 16 heads would not fit in 16 GB."""
_ROWS = 2
"""Pairs in a padded batch. A model with a window of thousands of tokens still fits in memory."""
_PADDED_TO = 64
"""Padded lengths are a multiple of so many tokens, where the effect of padding is measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeComparison:
    """The largest differences of a logit between a bundle and PyTorch on the edge pairs.

    They are relative to the size of the logit if that is above 1.
    """

    pairs: int
    tolerance: float
    max_difference: float
    """Difference from transformers in fp32."""
    max_batch_difference: float
    """Difference between a pair in a padded batch and the same pair alone."""
    worst_pair: int
    """Index in `edge_pairs` of the pair with the largest difference from transformers."""

    @property
    def holds(self) -> bool:
        """True if both differences are within the tolerance; a NaN is not."""
        # two comparisons: max() may drop a NaN
        return self.max_difference <= self.tolerance and self.max_batch_difference <= self.tolerance


def edge_pairs(max_tokens: int) -> list[tuple[str, str]]:
    """Return the pairs (query, document) of a model whose pairs have at most `max_tokens` tokens.

    One of them is that long, or has 4,500 words.
    """
    pairs = [(query, document) for query in _QUERIES for document in _DOCUMENTS]
    words = islice(cycle(_DOCUMENTS[-1].split()), min(max_tokens, _LONGEST_WORDS))
    pairs[_LONGEST_AT] = (_QUERIES[0], " ".join(words))
    return pairs


def compare_edge_pairs(bundle: Bundle, reference: TorchReference, tolerance: float) -> EdgeComparison:
    """Score the edge pairs with the bundle, by the code that serves it, and with transformers."""
    pairs = edge_pairs(bundle.manifest.max_tokens)
    expected = reference.logits(pairs)
    alone, together = _bundle_logits(bundle)
    differences = relative_distance(alone, expected)
    return EdgeComparison(
        pairs=len(pairs),
        tolerance=tolerance,
        max_difference=float(differences.max()),
        max_batch_difference=float(relative_distance(together, alone).max()),
        worst_pair=int(differences.argmax()),
    )


def padding_difference(bundle: Bundle, reference: TorchReference) -> float:
    """Return the largest difference of a logit of transformers between an edge pair with padding and without, relative
    to its size if that is above 1."""
    limits = _limits(bundle)

    def logits(pair: EncodedPair, multiple: int) -> NDArray[np.float32]:
        padded = replace(limits, length_multiple=multiple)
        return reference.score(collate([pair], pad_id=bundle.manifest.pad_id, limits=padded))

    pairs = [pair for at, pair in enumerate(_encode(bundle), 1) if at % len(_DOCUMENTS)]  # without the long documents
    return max(float(relative_distance(logits(pair, _PADDED_TO), logits(pair, 1)).max()) for pair in pairs)


def sample_batches(bundle: Bundle) -> list[Batch]:
    """Return three batches of edge pairs, one of them padded, to compare graphs on."""
    pairs = _encode(bundle)[:_LONGEST_AT]
    limits = _limits(bundle)
    return [collate(batch, pad_id=bundle.manifest.pad_id, limits=limits) for batch in (pairs, pairs[:1], pairs[-1:])]


def _limits(bundle: Bundle) -> BatchLimits:
    """Return the limits of the server on a CPU: a pair is never padded beyond the model's last position."""
    return replace(CPU_LIMITS, max_length=bundle.manifest.max_tokens)


def _encode(bundle: Bundle) -> list[EncodedPair]:
    """Return the edge pairs, in their order."""
    manifest = bundle.manifest
    tokenizer = PairTokenizer(bundle.tokenizer, max_tokens=manifest.max_tokens, template=manifest.template)
    queries = {query: tokenizer.encode_query(query) for query in _QUERIES}
    return [
        pair
        for query, document in edge_pairs(manifest.max_tokens)
        for pair in tokenizer.encode_documents(queries[query], [document])
    ]


def _bundle_logits(bundle: Bundle) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the logits of each pair alone, and of pairs in padded batches; both float32 of shape (pairs,).

    The longest pair is in no batch: two rows of that length may not fit in memory.
    """
    session, limits, pairs = CrossEncoder(bundle.graph), _limits(bundle), _encode(bundle)

    def score(batch: Sequence[EncodedPair]) -> NDArray[np.float32]:
        return session.score(collate(batch, pad_id=bundle.manifest.pad_id, limits=limits))

    alone = np.concatenate([score([pair]) for pair in pairs])
    others = [at for at in range(len(pairs)) if at != _LONGEST_AT]
    together = alone.copy()
    for batch in (others[start : start + _ROWS] for start in range(0, len(others), _ROWS)):
        together[batch] = score([pairs[at] for at in batch])
    return alone, together
