"""Names of the recipes by which variants are derived. A recipe that gives other scores gets a new name.

They are in a module of their own because every start needs the names, but only a derivation needs to import onnx.
"""

from rerank_service.engine.kinds import Engine, Precision, Provider

INT8_ROWS = "rows-2"
"""Weights in int8 by column, without overflow on any processor; activations in int8 by token."""
INT8_COMPRESSED = "compressed-1"
"""Weights in int8 by column. The engine quantizes activations while it runs."""
FP16 = "fp16-2"
"""With padding."""
FP16_PACKED = "fp16-packed-2"
"""Without padding."""


def recipe(engine: Engine) -> str:
    """Return the recipe of an engine's graph; empty if the engine runs the graph of the bundle.

    Engines with the same recipe run the same graph of a bundle.
    """
    if engine.precision is Precision.INT8:
        return INT8_COMPRESSED if engine.provider is Provider.OPENVINO else INT8_ROWS
    if engine.precision is Precision.FP16:
        return FP16 if engine.cuda_graphs else FP16_PACKED
    return ""
