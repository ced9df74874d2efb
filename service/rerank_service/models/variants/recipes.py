"""Names of the ways in which graphs are derived: another way, another name, other scores.

Apart from what they name, since every start asks for the names, and few for the doing, which imports onnx.
"""

from rerank_service.engine.kinds import Engine, Precision

INT8_ROWS = "rows-1"
FP16 = "fp16-1"
"""With padding left in."""
FP16_PACKED = "fp16-packed-1"
"""With padding taken out."""


def recipe(engine: Engine) -> str:
    """What names the way an engine's graph is made; engines of equal recipe and digest run the same graph. Empty where
    the bundle's own is run."""
    if engine.precision is Precision.INT8:
        return INT8_ROWS
    if engine.precision is Precision.FP16:
        return FP16 if engine.cuda_graphs else FP16_PACKED
    return ""
