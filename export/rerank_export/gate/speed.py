"""Speed of each graph of a bundle, in pairs per second, measured in turn."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

from rerank_service.engine.batch_defaults import default_lanes, default_limits
from rerank_service.engine.kinds import CPU_FP32
from rerank_service.models.manifest import Manifest
from rerank_service.models.tuning.throughput import Score, measure_in_turn, throughput
from rerank_service.scheduling.batching import EncodedPair

ROUNDS = 3
PAIRS = 64
"""Pairs per round. A large model scores fewer than that in a second."""


def pairs_per_second(scores: Mapping[str, Score], pairs: Sequence[EncodedPair], manifest: Manifest) -> dict[str, float]:
    """Return the median over the rounds for each name, with all lanes, on an even selection of the pairs."""
    some = pairs[:: max(1, len(pairs) // PAIRS)][:PAIRS]
    measure = partial(_speed, pairs=some, manifest=manifest)
    return measure_in_turn({name: partial(measure, score) for name, score in scores.items()}, ROUNDS)


def _speed(score: Score, pairs: Sequence[EncodedPair], manifest: Manifest) -> float:
    limits = replace(default_limits(CPU_FP32), max_length=manifest.max_tokens)
    tokens = throughput(score, pairs, limits, pad_id=manifest.pad_id, lanes=default_lanes(CPU_FP32))
    return tokens * len(pairs) / sum(map(len, pairs))
