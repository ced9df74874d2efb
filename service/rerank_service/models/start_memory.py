"""Compare the memory that a model needs with the limit, before it is loaded: the kernel kills a process without a word.

- A model whose weights alone exceed the limit is refused.
- A model that may exceed it, by the estimate of the tuning, is loaded with a warning.
"""

from collections.abc import Sequence

import structlog

from rerank_service.engine.cgroup_limits import MemoryLimit
from rerank_service.engine.kinds import Engine, Provider
from rerank_service.errors import MemoryTooSmall
from rerank_service.models.bundle import Bundle
from rerank_service.models.tuning.memory_estimate import estimated_bytes, memory_shortage
from rerank_service.models.variants.copied_weights import copied_weight_bytes
from rerank_service.models.variants.recipes import recipe

_MB = 10**6
_log = structlog.get_logger()


def check_memory(bundle: Bundle, engine: Engine, lanes: int, limits: Sequence[MemoryLimit], held: int = 0) -> None:
    """Compare a model with the memory limits of the process. Log a warning if it may exceed one.

    `held` is the memory of the process that the kernel cannot drop, if other models are loaded; otherwise 0.

    Raises:
        MemoryTooSmall: the weights alone exceed a limit and the swap that the process may use, beside `held`.
    """
    if not may_exceed(bundle, engine, lanes, limits):
        return
    weights = _least_bytes(bundle, engine)
    for limit in limits:
        if limit.fatal is not None and weights and weights + held > limit.fatal:
            raise MemoryTooSmall(_refusal(bundle, engine, lanes, weights, limit, held))
    shortage = memory_shortage(bundle, engine, lanes, lambda: min(limit.left for limit in limits))
    if shortage is not None:
        _log.warning("memory may be too small", engine=str(engine), why=shortage.reason)


def may_exceed(bundle: Bundle, engine: Engine, lanes: int, limits: Sequence[MemoryLimit]) -> bool:
    """Return True if a model may exceed the memory that a limit leaves, by an estimate that is an upper bound.

    The graph is read only if all files beside it might not fit: the import of onnx takes as long as the start of a
    small model.
    """
    left = min((limit.left for limit in limits), default=None)
    if left is None or estimated_bytes(bundle, engine, lanes, _file_bytes(bundle)) <= left:
        return False
    return estimated_bytes(bundle, engine, lanes) > left


def _refusal(bundle: Bundle, engine: Engine, lanes: int, weights: int, limit: MemoryLimit, held: int) -> str:
    others = f"the process with the loaded models holds {_megabytes(held)}, " if held else ""
    unload = "unload another model, " if held else ""
    return (
        f"{bundle.folder} needs about {_megabytes(estimated_bytes(bundle, engine, lanes))} of memory on {engine}, at "
        f"least {_megabytes(weights)} of it for weights, {others}and the limit in {limit.file} is "
        f"{_megabytes(limit.limit)}: {unload}raise the limit (resources.limits.memory of a pod, --memory of docker, "
        "MemoryMax= of systemd), or serve a smaller model"
    )


def _file_bytes(bundle: Bundle) -> int:
    """Return the bytes of all files beside the graph, which are at least those of its weights."""
    return sum(file.stat().st_size for file in bundle.graph.parent.rglob("*") if file.is_file())


def _least_bytes(bundle: Bundle, engine: Engine) -> int:
    """Return bytes of weights that certainly fill memory; 0 if it is not known.

    OpenVINO may round weights to bf16, CUDA holds them in memory of the device, and a derived graph may be in the
    cache.
    """
    if engine.provider is not Provider.CPU:
        return 0
    graph = bundle.variant(engine) if recipe(engine) else bundle.graph
    return copied_weight_bytes(graph) if graph else 0


def _megabytes(size: int) -> str:
    return f"{size // _MB:,} MB"
