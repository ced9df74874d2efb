"""Estimate the memory that an engine takes while it is loaded beside another one, and compare it with the limit.

The factors are upper bounds of measurements (docs/performance.md, "OpenVINO: one session for all lanes").
"""

from collections.abc import Callable
from dataclasses import dataclass

from rerank_service.engine.cgroup_limits import memory_limit
from rerank_service.engine.kinds import Engine, Precision, Provider
from rerank_service.models.bundle import Bundle
from rerank_service.models.variants.recipes import recipe
from rerank_service.models.variants.weight_check import graph_files


@dataclass(frozen=True, slots=True)
class MemoryNeed:
    """Upper bounds of the memory that serving a bundle on an engine takes, in bytes."""

    kept: int
    """While it is served."""
    peak: int
    """While its graph is derived, and while it is loaded."""


MemoryLeft = Callable[[], int | None]
"""Returns the bytes that this process may still take; None: no limit."""


@dataclass(frozen=True, slots=True)
class MemoryShortage:
    """An engine that is not loaded for lack of memory."""

    reason: str
    lasting: bool
    """True if the engine and the one that it is tried beside need more than the whole limit. False: there may be enough
    memory when other parts of the machine or of the process use less."""


MemoryCheck = Callable[[Engine], MemoryShortage | None]
"""Returns why an engine is not loaded for lack of memory; None if there is enough."""

_LOADED = {
    Engine(Provider.CPU, Precision.FP32): 1.0,
    Engine(Provider.CPU, Precision.INT8): 0.5,
    Engine(Provider.OPENVINO, Precision.FP32): 1.25,
    Engine(Provider.OPENVINO, Precision.BF16): 1.0,
    Engine(Provider.OPENVINO, Precision.INT8): 0.5,
}
"""Bytes taken by a loaded graph, for a byte of its weights in fp32. Mapped files, which the kernel can drop, do not
count."""
_LOADED_ELSEWHERE = 2.0
"""The same for engines that were not measured."""
_KEPT = {(Provider.CUDA, Precision.FP32): 1.0, (Provider.CUDA, Precision.FP16): 0.5}
"""The same after loading, where it is less. CUDA holds the weights in memory of the device: at most one copy of the
graph stays in memory of the host."""
_COPIED = {Provider.CPU: 1.0, Provider.OPENVINO: 2.0}
"""Bytes taken in addition, for a byte of a graph file that contains its weights: it is copied while it is loaded."""
_DERIVED = {Precision.INT8: {"fp32": 2.0, "fp16": 2.75}, Precision.FP16: {"fp32": 2.5, "fp16": 5.75}}
"""Bytes taken while a graph is rewritten to a precision, for a byte of its stored weights, by their precision. In fp16,
sessions run the graph before and after its fusion."""
_FIXED = 64 * 2**20
"""Bytes for the libraries of the engine."""
_LANE = 32 * 2**20
"""Bytes for the batches of a lane."""
_WEIGHTS_INSIDE = 64 * 2**20
"""A graph file of more bytes contains its weights. It is not read to find other files."""
_BYTES = {"fp32": 4, "fp16": 2, "bf16": 2, "int8": 1, "int4": 0.5, "int2": 0.25}
"""Bytes of a stored weight by its precision."""
_MB = 10**6


def estimated_bytes(bundle: Bundle, engine: Engine, lanes: int, weights: int | None = None) -> int:
    """Estimate the bytes that serving a bundle on an engine takes at its peak; see `memory_need`."""
    return memory_need(bundle, engine, lanes, weights).peak


def memory_need(bundle: Bundle, engine: Engine, lanes: int, weights: int | None = None) -> MemoryNeed:
    """Estimate the memory that serving a bundle on an engine takes.

    `weights`: bytes of the weights, if they are known. Otherwise the graph is read.
    """
    weights = weight_bytes(bundle) if weights is None else weights
    precision = bundle.manifest.variants[0].weights
    in_fp32 = weights * 4 / _BYTES[precision]
    loaded = _LOADED.get(engine, _LOADED_ELSEWHERE)
    peak = in_fp32 * loaded
    kept = in_fp32 * _KEPT.get((engine.provider, engine.precision), loaded)
    if recipe(engine) and bundle.variant(engine) is None:
        peak = max(peak, weights * _derived(engine.precision, precision))
    elif bundle.graph.stat().st_size > _WEIGHTS_INSIDE:
        copied = weights * _COPIED.get(engine.provider, 0.0)
        kept, peak = kept + copied, peak + copied
    others = _FIXED + lanes * _LANE
    return MemoryNeed(int(kept) + others, int(peak) + others)


def _derived(precision: Precision, stored: str) -> float:
    factors = _DERIVED[precision]
    return factors.get(stored, max(factors.values()))


def memory_check(
    bundle: Bundle, lanes_on: Callable[[Engine], int], memory_left: MemoryLeft, beside: Engine
) -> MemoryCheck:
    """Return a memory check for a bundle, as `memory_shortage`.

    `lanes_on` returns the number of lanes that an engine is loaded with.
    """
    return lambda engine: memory_shortage(bundle, engine, lanes_on(engine), memory_left, beside)


def memory_shortage(
    bundle: Bundle,
    engine: Engine,
    lanes: int,
    memory_left: MemoryLeft,
    beside: Engine | None = None,
    whole_limit: Callable[[], int | None] = memory_limit,
) -> MemoryShortage | None:
    """Return why an engine is not loaded for lack of memory; None if there is enough.

    `beside`: the engine on which the same bundle is loaded at the same time; None if there is none.
    """
    available = memory_left()
    if available is None:
        return None
    weights = weight_bytes(bundle)
    required = estimated_bytes(bundle, engine, lanes, weights)
    if required <= available:
        return None
    together = (engine,) if beside is None else (engine, beside)
    least = sum(estimated_bytes(bundle, each, 1, weights) for each in together)  # other settings may have fewer lanes
    limit = whole_limit()
    return MemoryShortage(
        f"needs about {required // _MB:,} MB, and the memory limit leaves {available // _MB:,} MB",
        lasting=limit is not None and least > limit,
    )


def weight_bytes(bundle: Bundle) -> int:
    """Return the bytes of a graph with its weights."""
    size = bundle.graph.stat().st_size
    if size > _WEIGHTS_INSIDE:
        return size
    return sum(path.stat().st_size for path in graph_files(bundle.graph))
