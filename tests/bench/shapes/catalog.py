"""All shapes, by name."""

from collections.abc import Mapping

from bench.shapes import bert, deberta_v2, modernbert, qwen3, xlm_roberta
from bench.shapes.shape import Architecture, Shape

ARCHITECTURES: Mapping[str, Architecture] = {
    "bert": bert,
    "xlm_roberta": xlm_roberta,
    "modernbert": modernbert,
    "deberta_v2": deberta_v2,
    "qwen3": qwen3,
}
"""Modules by name. A new architecture is a module with `SHAPES` and `build`, and a line here."""

SHAPES: Mapping[str, Shape] = {
    shape.name: shape for architecture in ARCHITECTURES.values() for shape in architecture.SHAPES
}
"""Shapes by name, in the order of the table."""
