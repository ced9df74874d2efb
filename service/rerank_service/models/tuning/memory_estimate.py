"""Estimate the memory that an engine takes while it is loaded beside another one, and compare it with the limit.

The factors are upper bounds of measurements with the starter model (docs/decisions/0009-engines-by-evidence.md).
"""

from collections.abc import Callable

from rerank_service.engine.available import session_count
from rerank_service.engine.kinds import Engine
from rerank_service.models.bundle import Bundle
from rerank_service.models.variants.derive import graph_files
from rerank_service.models.variants.recipes import recipe

MemoryLeft = Callable[[], int | None]
"""Returns the bytes that this process may still take; None: no limit."""
MemoryCheck = Callable[[Engine], str | None]
"""Returns why an engine is not loaded for lack of memory; None if there is enough."""

_LOADED = 2.0
"""Bytes taken for a byte of weights: as read, and in the layout of the engine."""
_DERIVED = 3.0
"""Bytes taken for a byte of weights while a graph is rewritten."""
_FIXED = 96 * 2**20
"""Bytes for the libraries of the engine and the tokens of its batches."""
_WEIGHTS_INSIDE = 64 * 2**20
"""A graph file of more bytes contains its weights. It is not read to find other files."""
_MB = 10**6


def estimated_bytes(bundle: Bundle, engine: Engine, lanes: int, weights: int | None = None) -> int:
    """Estimate the bytes that serving a bundle on an engine takes, deriving its graph included.

    `weights`: bytes of the weights, if they are known. Otherwise the graph is read.
    """
    weights = weight_bytes(bundle) if weights is None else weights
    derives = bool(recipe(engine)) and bundle.variant(engine) is None
    return int(weights * max(_LOADED * session_count(engine, lanes), _DERIVED * derives)) + _FIXED


def memory_check(bundle: Bundle, lanes_on: Callable[[Engine], int], memory_left: MemoryLeft) -> MemoryCheck:
    """Return a memory check for a bundle. `lanes_on` returns the number of lanes that an engine is loaded with."""
    return lambda engine: memory_shortage(bundle, engine, lanes_on(engine), memory_left)


def memory_shortage(bundle: Bundle, engine: Engine, lanes: int, memory_left: MemoryLeft) -> str | None:
    """Return why an engine is not loaded for lack of memory; None if there is enough."""
    available = memory_left()
    if available is None:
        return None
    required = estimated_bytes(bundle, engine, lanes)
    if required <= available:
        return None
    return f"needs about {required // _MB:,} MB, and the memory limit leaves {available // _MB:,} MB"


def weight_bytes(bundle: Bundle) -> int:
    """Return the bytes of a graph with its weights."""
    size = bundle.graph.stat().st_size
    if size > _WEIGHTS_INSIDE:
        return size
    return sum(path.stat().st_size for path in graph_files(bundle.graph))
