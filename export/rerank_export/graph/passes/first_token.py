"""The last layer computed for the first token only, if the classifier reads no other token."""

from collections.abc import Sequence

import onnx
from onnx import helper

from rerank_export.graph.passes.last_layer import Shortened, readers, shorten
from rerank_export.graph.passes.node_lists import attribute
from rerank_export.graph.passes.shaped_graph import Dim, ShapedGraph, infer_shapes
from rerank_export.graph.passes.token_cut import TokenCut


class _First:
    """Index 0 of any axis."""

    def can_be_cut(self, shape: Sequence[Dim], axis: int) -> bool:
        return axis < len(shape)

    def cut(self, cut: TokenCut, tensor: str, axis: int, name: str) -> list[onnx.NodeProto]:
        bounds = [cut.constant(f"{name}.{part}", [value]) for part, value in (("start", 0), ("end", 1), ("axis", axis))]
        return [helper.make_node("Slice", [tensor, *bounds], [name], name=f"{name}.slice")]

    def picked(self, pick: onnx.NodeProto, cut_tensor: str) -> onnx.NodeProto:
        return helper.make_node("Gather", [cut_tensor, pick.input[1]], list(pick.output), name=pick.name, axis=1)


def shorten_last_layer(model: onnx.ModelProto) -> Shortened:
    """Compute the last layer for the first token only, if the graph reads no other token of it."""
    graph = infer_shapes(model)
    pick = _pick(graph)
    if pick is None:
        return Shortened(model, 0, "the classifier does not read the first token alone")
    if graph.shapes[pick.input[0]][1] == 1:
        return Shortened(model, 0, "the last layer is computed for one token already")
    shortened = shorten(graph, _First(), pick)
    return shortened if shortened.matmuls else Shortened(model, 0, shortened.reason)


def _pick(graph: ShapedGraph) -> onnx.NodeProto | None:
    """Return the node that selects index 0 of axis 1 of (rows, tokens, width), if it alone reads that tensor."""
    outputs = {output.name for output in graph.model.graph.output}
    for node in reversed(graph.model.graph.node):
        hidden = node.input[0] if node.input else ""
        if _selects_first(graph, node) and hidden not in outputs:
            return node if readers(graph, hidden) == [node] else None
    return None


def _selects_first(graph: ShapedGraph, node: onnx.NodeProto) -> bool:
    """Return True if a node computes hidden[:, 0]."""
    if node.op_type != "Gather" or attribute(node, "axis", 0) != 1 or len(graph.shapes.get(node.input[0], ())) != 3:
        return False
    index = graph.constants.get(node.input[1])
    return index is not None and index.size == 1 and not index.any()
