"""The last layer of a decoder computed for each row's last real token only, if nothing reads another token."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import onnx
from onnx import helper

from rerank_export.graph.passes.last_layer import Shortened, readers, shorten
from rerank_export.graph.passes.node_lists import attribute
from rerank_export.graph.passes.shaped_graph import Dim, ShapedGraph, infer_shapes
from rerank_export.graph.passes.token_cut import TokenCut

_Step = tuple[str, list[str], dict[str, Any]]
"""Operator, further operands, attributes."""


@dataclass(frozen=True, slots=True)
class _Last:
    """A different index in each row. A tensor of the graph, of shape (rows, 1, 1), holds them."""

    positions: str
    rows: Dim

    def can_be_cut(self, shape: Sequence[Dim], axis: int) -> bool:
        """Return True if the rows come first: a tensor shared by all rows, such as a causal mask, has no last token."""
        return axis > 0 and shape[0] == self.rows

    def cut(self, cut: TokenCut, tensor: str, axis: int, name: str) -> list[onnx.NodeProto]:
        """Move the axis to index 1, select there with GatherND, and move it back."""
        there, back = self._moves(cut, cut.graph.shapes[tensor], axis, name)
        steps: list[_Step] = [*there, ("GatherND", [self.positions], {"batch_dims": 1}), *back]
        nodes, current = [], tensor
        for step, (kind, operands, attributes) in enumerate(steps):
            output = name if step == len(steps) - 1 else f"{name}.{step}"
            nodes.append(
                helper.make_node(kind, [current, *operands], [output], name=f"{name}.{step}.{kind}", **attributes)
            )
            current = output
        return nodes

    def _moves(self, cut: TokenCut, shape: Sequence[Dim], axis: int, name: str) -> tuple[list[_Step], list[_Step]]:
        """Return the steps that move the axis to index 1, and back.

        Axes of size 1 before it are squeezed, which costs nothing; else the tensor is transposed.
        """
        if axis == 1:
            return [], []
        if all(size == 1 for size in shape[1:axis]):
            units = cut.constant(f"{name}.units", range(1, axis))
            return [("Squeeze", [units], {})], [("Unsqueeze", [units], {})]
        there = [0, axis, *(at for at in range(1, len(shape)) if at != axis)]
        back = [there.index(at) for at in range(len(shape))]
        return [("Transpose", [], {"perm": there})], [("Transpose", [], {"perm": back})]

    def picked(self, pick: onnx.NodeProto, cut_tensor: str) -> onnx.NodeProto:
        return helper.make_node("Identity", [cut_tensor], list(pick.output), name=pick.name)


def shorten_last_layer(model: onnx.ModelProto) -> Shortened:
    """Compute the last layer for each row's last token only, if the graph reads no other token of it."""
    graph = infer_shapes(model)
    pick = _pick(graph)
    if pick is None:
        return Shortened(model, 0, "the score is not read from one token of each row")
    positions = graph.node(pick.input[1])
    assert positions
    token = _Last(positions.input[0], graph.shapes[pick.input[0]][0])
    shortened = shorten(graph, token, pick)
    return shortened if shortened.matmuls else Shortened(model, 0, shortened.reason)


def _pick(graph: ShapedGraph) -> onnx.NodeProto | None:
    """Return the node hidden.gather(1, last[:, None, None].expand(…)), if it alone reads that tensor."""
    outputs = {output.name for output in graph.model.graph.output}
    for node in reversed(graph.model.graph.node):
        if node.op_type == "GatherElements" and attribute(node, "axis", 0) == 1 and node.input[0] not in outputs:
            return node if _selects_one(graph, node) and readers(graph, node.input[0]) == [node] else None
    return None


def _selects_one(graph: ShapedGraph, node: onnx.NodeProto) -> bool:
    """Return True if a node selects the same single token for all of a row's width."""
    index = graph.node(node.input[1])
    hidden = graph.shapes.get(node.input[0], ())
    if index is None or index.op_type != "Expand" or len(hidden) != 3:
        return False
    return tuple(graph.shapes.get(index.input[0], ())) == (hidden[0], 1, 1)
