"""The pass that writes the sizes of a Reshape as constants, so that no operator computes them while the model runs."""

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import helper, numpy_helper

from rerank_export.graph.passes.node_lists import needed_nodes, without_unread_weights
from rerank_export.graph.passes.shaped_graph import Dim, ShapedGraph, infer_shapes

_COPIED = 0
"""Size that stands for that of the same axis of the input."""
_REMAINING = -1
"""Size that follows from the others."""


def write_reshape_sizes(model: onnx.ModelProto) -> tuple[onnx.ModelProto, int]:
    """Return the graph with constant sizes of each Reshape, where shapes are known well enough, and the number of them.

    torch traces a size such as the number of rows as Shape, Gather, Unsqueeze and Concat. A runtime computes all of
    these for each batch, and again for each Reshape.
    """
    graph = infer_shapes(model)
    changed = onnx.ModelProto()
    changed.CopyFrom(graph.model)
    sizes = {node.output[0]: found for node in changed.graph.node if (found := _constant_sizes(graph, node))}
    nodes: list[onnx.NodeProto] = []
    for node in changed.graph.node:
        if node.output[0] in sizes:
            nodes += _with_constant_sizes(node, sizes[node.output[0]])
        else:
            nodes.append(node)
    kept = needed_nodes(nodes, {output.name for output in changed.graph.output})
    del changed.graph.node[:], changed.graph.value_info[:]
    changed.graph.node.extend(kept)
    return without_unread_weights(changed), len(sizes)


def _with_constant_sizes(node: onnx.NodeProto, sizes: Sequence[int]) -> tuple[onnx.NodeProto, onnx.NodeProto]:
    """Return a Constant with the sizes, and the Reshape that reads them."""
    name = f"{node.output[0]}.sizes"
    constant = helper.make_node(
        "Constant", [], [name], name=name, value=numpy_helper.from_array(np.array(sizes, np.int64))
    )
    return constant, helper.make_node("Reshape", [node.input[0], name], node.output, name=node.name)


def _constant_sizes(graph: ShapedGraph, node: onnx.NodeProto) -> list[int] | None:
    """Return constant sizes for a Reshape whose sizes are computed; None if there are none, or for another node."""
    if node.op_type != "Reshape" or node.input[1] in graph.constants:
        return None
    before, after = graph.shapes.get(node.input[0]), graph.shapes.get(node.output[0])
    if before is None or after is None or 0 in after:  # 0 would mean: copy this axis
        return None
    sizes = [_size(before, axis, size) for axis, size in enumerate(after)]
    return sizes if sizes.count(_REMAINING) <= 1 else None


def _size(before: Sequence[Dim], axis: int, size: Dim) -> int:
    """Return the constant that stands for the size of an axis of the output."""
    if size.is_Integer:
        return int(size)
    return _COPIED if axis < len(before) and before[axis] == size else _REMAINING
