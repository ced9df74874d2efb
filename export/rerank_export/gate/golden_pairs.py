"""Choose the golden pairs of a bundle: short pairs of the parity set whose logits are spread."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from rerank_export.gate.parity_set import ParitySet, encode_fitting
from rerank_service.encoding.tokenizer import PairTokenizer
from rerank_service.engine.batch_defaults import CPU_LIMITS
from rerank_service.engine.session import CrossEncoder
from rerank_service.models.bundle import Bundle
from rerank_service.models.golden_pairs import GoldenPair
from rerank_service.models.tuning.throughput import logits

_PAIRS = 8
_SHORTEST = 20
"""One of so many pairs of the parity set may be chosen: the shortest ones, because each load scores the chosen ones."""
_MAX_TOKENS = 2048
"""Maximum tokens of all golden pairs. If the pairs are long, fewer are chosen."""


def golden_pairs(bundle: Bundle, parity_set: ParitySet) -> tuple[GoldenPair, ...]:
    """Return up to 8 pairs, from the lowest logit to the highest. Scores one in 20 pairs with the reference graph.

    Raises:
        ExportFailed: no query of the set fits the token limit of the model.
    """
    manifest = bundle.manifest
    tokenizer = PairTokenizer(bundle.tokenizer, max_tokens=manifest.max_tokens, template=manifest.template)
    fitting, by_query = encode_fitting(parity_set, tokenizer)
    encoded = [pair for query in by_query for pair in query]
    shortest = sorted(range(len(encoded)), key=lambda at: len(encoded[at]))[: max(_PAIRS, len(encoded) // _SHORTEST)]
    encoder = CrossEncoder(bundle.graph, output=manifest.output_form)
    limits = replace(CPU_LIMITS, max_length=manifest.max_tokens)
    scores = logits(encoder.score, [encoded[at] for at in shortest], limits, manifest.pad_id)
    longest = max(len(encoded[at]) for at in shortest)
    chosen = _spread(scores.tolist(), min(_PAIRS, max(1, _MAX_TOKENS // longest)))
    return tuple(
        GoldenPair(query=query, document=document, logit=scores[position])
        for position in chosen
        for query, document in [fitting.pairs[shortest[position]]]
    )


def _spread(scores: Sequence[float], count: int) -> list[int]:
    """Return the positions of up to `count` scores, at equal distances in their order. The first is the lowest."""
    order = np.argsort(scores, kind="stable")
    places = np.linspace(0, len(order) - 1, min(count, len(order))).round().astype(int)
    return [int(position) for position in order[np.unique(places)]]
