"""The last layer for the first token only, where the classifier reads no other."""

from collections.abc import Sequence

import onnx
from onnx import helper

from rerank_export.passes.nodes import attribute
from rerank_export.passes.one_token import Shortened, Walk, readers, shorten
from rerank_export.passes.shapes import Dim, ShapedGraph, shaped


class _First:
    """Position 0 of any axis."""

    def can_be_cut(self, shape: Sequence[Dim], axis: int) -> bool:
        return axis < len(shape)

    def cut(self, walk: Walk, tensor: str, axis: int, name: str) -> list[onnx.NodeProto]:
        bounds = [
            walk.constant(f"{name}.{part}", [value]) for part, value in (("start", 0), ("end", 1), ("axis", axis))
        ]
        return [helper.make_node("Slice", [tensor, *bounds], [name], name=f"{name}.slice")]

    def picked(self, pick: onnx.NodeProto, one: str) -> onnx.NodeProto:
        return helper.make_node("Gather", [one, pick.input[1]], list(pick.output), name=pick.name, axis=1)


def shorten_last_layer(model: onnx.ModelProto) -> Shortened:
    """Compute the last layer for the first token only, where the graph reads no other."""
    graph = shaped(model)
    pick = _pick(graph)
    if pick is None:
        return Shortened(model, 0, "the classifier does not read the first token alone")
    shortened = shorten(graph, _First(), pick)
    return shortened if shortened.matmuls else Shortened(model, 0, shortened.reason)


def _pick(graph: ShapedGraph) -> onnx.NodeProto | None:
    """The node that takes position 0 of axis 1 of (rows, tokens, width), if all that reads that tensor does so."""
    outputs = {output.name for output in graph.model.graph.output}
    for node in reversed(graph.model.graph.node):
        hidden = node.input[0] if node.input else ""
        if _takes_first(graph, node) and hidden not in outputs:
            return node if readers(graph, hidden) == [node] else None
    return None


def _takes_first(graph: ShapedGraph, node: onnx.NodeProto) -> bool:
    """Whether a node is hidden[:, 0]."""
    if node.op_type != "Gather" or attribute(node, "axis", 0) != 1 or len(graph.shapes.get(node.input[0], ())) != 3:
        return False
    index = graph.constants.get(node.input[1])
    return index is not None and index.size == 1 and not index.any()
