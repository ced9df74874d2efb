"""How large batches should be on an engine and how many at once, until `rerank tune` has measured it."""

from dataclasses import replace

from rerank_service.engine.cuda import LANES
from rerank_service.engine.host import usable_cores
from rerank_service.engine.kinds import Engine, Provider
from rerank_service.scheduling.batching import BatchLimits

_GPU = BatchLimits(
    max_tokens=16_384,
    min_tokens=2_048,  # fewer take a GPU as long
    max_pairs=512,
    # A launch costs as much as some thousand tokens, and without padding short rows cost what they are. Not less, since
    # the budget counts padded tokens: a batch of few long rows and many short ones would be full and do little.
    likeness=0.25,
    length_multiple=8,  # of tensor cores
)
_GRAPH_LENGTHS = 32
"""Tokens between the lengths for which CUDA graphs are recorded."""


def default_limits(engine: Engine) -> BatchLimits:
    """Limits where the operator and tuning say nothing."""
    if engine.provider is Provider.CUDA:
        return replace(_GPU, length_multiple=_GRAPH_LENGTHS) if engine.cuda_graphs else _GPU
    return BatchLimits()


def default_lanes(engine: Engine) -> int:
    """Batches at once, likewise: one a core, or on a GPU as many as keep it busy."""
    return LANES if engine.provider is Provider.CUDA else usable_cores()
