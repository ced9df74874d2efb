"""Default batch limits and lanes of each engine, until `rerank tune` has measured better ones."""

from collections.abc import Callable
from dataclasses import replace

from rerank_service.engine.cuda import DEFAULT_LANES
from rerank_service.engine.host import usable_cores
from rerank_service.engine.io_binding import MAX_GRAPH_TOKENS
from rerank_service.engine.kinds import Engine, Precision, Provider
from rerank_service.scheduling.batching import BatchLimits

CPU_LIMITS = BatchLimits(max_tokens=512, min_tokens=256, max_pairs=64, min_length_ratio=0.85, length_multiple=4)
_OPENVINO_BF16_LIMITS = replace(
    CPU_LIMITS,
    # A batch takes as long as half of it in fp32, and one with another shape than the one before takes some
    # milliseconds more (docs/decisions/0084-batch-sizes-beside-small-requests.md).
    max_tokens=1_024,
    min_tokens=512,
)
GPU_LIMITS = BatchLimits(
    max_tokens=16_384,
    min_tokens=16_384,  # its batches share one stream: a part of a batch on another lane would only wait for the first
    max_pairs=512,
    # A launch costs as much as some thousand tokens, and a row without padding costs no more than its own tokens. The
    # ratio is not lower because `max_tokens` counts padded tokens: one long row with many short ones would fill a batch
    # that computes little.
    min_length_ratio=0.25,
    length_multiple=8,  # tensor cores compute multiples of 8
)
_SHARED_PREFIX_TOKENS = 1_024
"""`max_tokens` on a CPU if equal beginnings are computed once (docs/performance.md)."""
_CUDA_GRAPH_LENGTH_MULTIPLE = 32
"""Tokens between two lengths for which CUDA graphs are recorded."""
_REGISTER_TOKENS = 16
"""Values that OpenVINO's softmax adds at once, in one AVX-512 register. If a row ends within a register, its sum
depends on the padding by about 1e-7, and rounding to int8 or bf16 can make 0.02 of a logit of that
(docs/decisions/0080-bf16-padded-to-multiples-of-16.md)."""
_ROUNDED = (Precision.INT8, Precision.BF16)
"""Precisions of OpenVINO that round activations."""

_OPENVINO_BF16 = Engine(Provider.OPENVINO, Precision.BF16)
_LIMITS = {Provider.CPU: CPU_LIMITS, Provider.OPENVINO: CPU_LIMITS, Provider.CUDA: GPU_LIMITS}
_LANES: dict[Provider, Callable[[], int]] = {
    Provider.CPU: usable_cores,
    Provider.OPENVINO: usable_cores,
    Provider.CUDA: lambda: DEFAULT_LANES,
}


def default_limits(engine: Engine, *, shares_prefixes: bool = False) -> BatchLimits:
    """Return the batch limits of an engine, if neither the operator nor tuning sets them.

    A graph that shares prefixes computes the common beginning of a batch once, so it gains from more rows.
    """
    limits = _OPENVINO_BF16_LIMITS if engine == _OPENVINO_BF16 else _LIMITS[engine.provider]
    if shares_prefixes:
        limits = replace(limits, max_tokens=max(limits.max_tokens, _SHARED_PREFIX_TOKENS))
    if engine.cuda_graphs:
        # each batch replays a recording. Others are slow when their shape is new: cuDNN's attention prepares each shape
        tokens, multiple = MAX_GRAPH_TOKENS, _CUDA_GRAPH_LENGTH_MULTIPLE
        return replace(limits, max_tokens=tokens, min_tokens=tokens, length_multiple=multiple)
    return replace(limits, length_multiple=exact_multiple(engine, limits.length_multiple))


def exact_multiple(engine: Engine, length_multiple: int) -> int:
    """Return a length multiple, raised if necessary so that on this engine no score depends on the padding.

    With OpenVINO in int8 and bf16, it is a multiple of 16 tokens, and scores are equal to the bit. With other engines
    it stays: padding changes a logit in fp32 by about 1e-6.
    """
    if engine.provider is not Provider.OPENVINO or engine.precision not in _ROUNDED:
        return length_multiple
    return -(-length_multiple // _REGISTER_TOKENS) * _REGISTER_TOKENS


def default_lanes(engine: Engine) -> int:
    """Return the number of batches that run at once: one for each usable core, or as many as keep a GPU busy."""
    return _LANES[engine.provider]()
