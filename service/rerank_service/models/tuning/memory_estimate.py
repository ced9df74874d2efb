"""An estimate of the memory that an engine takes while it is loaded beside another, compared with the memory limit.

The factors are upper bounds of measurements with the bundled model (docs/decisions/0009-engines-by-evidence.md).
"""

from collections.abc import Callable

from rerank_service.engine.kinds import Engine, Provider
from rerank_service.models.bundle import Bundle
from rerank_service.models.variants.derive import graph_files
from rerank_service.models.variants.recipes import recipe

Left = Callable[[], int | None]
"""Gives the bytes that this process may still take; None: no limit."""

_LOADED = 2.0
"""Bytes taken for a byte of weights: as read, and as the engine lays them out."""
_DERIVED = 3.0
"""Bytes taken for a byte of weights while a graph is rewritten."""
_FIXED = 96 * 2**20
"""Bytes for the engine's libraries and the tokens of its batches."""
_WEIGHTS_INSIDE = 64 * 2**20
"""A graph file above this size holds its weights itself: it is not read to look for other files."""
_MB = 10**6


def needed(bundle: Bundle, engine: Engine, lanes: int) -> int:
    """Estimate the bytes that serving a bundle on an engine takes, deriving its graph included."""
    weights = weight_bytes(bundle)
    sessions = lanes if engine.provider is Provider.OPENVINO else 1  # which has a session for each lane
    derives = bool(recipe(engine)) and bundle.variant(engine) is None
    return int(weights * max(_LOADED * sessions, _DERIVED * derives)) + _FIXED


def lacking(bundle: Bundle, engine: Engine, lanes: int, left: Left) -> str | None:
    """Say why an engine is not loaded for want of memory; None if there is enough."""
    room = left()
    if room is None:
        return None
    need = needed(bundle, engine, lanes)
    if need <= room:
        return None
    return f"needs about {need // _MB:,} MB, and the memory limit leaves {room // _MB:,} MB"


def weight_bytes(bundle: Bundle) -> int:
    """Return the size of a graph with its weights."""
    size = bundle.graph.stat().st_size
    if size > _WEIGHTS_INSIDE:
        return size
    return sum(path.stat().st_size for path in graph_files(bundle.graph))
