"""The last layer of a decoder for the last real token of each row only, where nothing reads another."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import onnx
from onnx import helper

from rerank_export.passes.nodes import attribute
from rerank_export.passes.one_token import Shortened, Walk, readers, shorten
from rerank_export.passes.shapes import Dim, ShapedGraph, shaped


@dataclass(frozen=True, slots=True)
class _Last:
    """Another position in each row, which a tensor (rows, 1, 1) of the graph holds."""

    positions: str
    rows: Dim

    def can_be_cut(self, shape: Sequence[Dim], axis: int) -> bool:
        """Where the rows come first: what is the same for all rows, such as a causal mask, has no row's last token."""
        return axis > 0 and shape[0] == self.rows

    def cut(self, walk: Walk, tensor: str, axis: int, name: str) -> list[onnx.NodeProto]:
        """GatherND takes one place of axis 1; so the axis goes there, and back."""
        shape = walk.graph.shapes[tensor]
        there, back = self._moves(walk, shape, axis, name)
        steps: list[_Step] = [*there, ("GatherND", [self.positions], {"batch_dims": 1}), *back]
        nodes, current = [], tensor
        for step, (kind, operands, attributes) in enumerate(steps):
            output = name if step == len(steps) - 1 else f"{name}.{step}"
            nodes.append(
                helper.make_node(kind, [current, *operands], [output], name=f"{name}.{step}.{kind}", **attributes)
            )
            current = output
        return nodes

    def _moves(self, walk: Walk, shape: Sequence[Dim], axis: int, name: str) -> tuple[list["_Step"], list["_Step"]]:
        """How the axis comes to place 1 and back: by leaving out axes of size 1, which is free, or by a transpose."""
        if axis == 1:
            return [], []
        if all(size == 1 for size in shape[1:axis]):
            units = walk.constant(f"{name}.units", range(1, axis))
            return [("Squeeze", [units], {})], [("Unsqueeze", [units], {})]
        there = [0, axis, *(at for at in range(1, len(shape)) if at != axis)]
        back = [there.index(at) for at in range(len(shape))]
        return [("Transpose", [], {"perm": there})], [("Transpose", [], {"perm": back})]

    def picked(self, pick: onnx.NodeProto, one: str) -> onnx.NodeProto:
        return helper.make_node("Identity", [one], list(pick.output), name=pick.name)


_Step = tuple[str, list[str], dict[str, Any]]


def shorten_last_layer(model: onnx.ModelProto) -> Shortened:
    """Compute the last layer for each row's last token only, where the graph reads no other."""
    graph = shaped(model)
    pick = _pick(graph)
    if pick is None:
        return Shortened(model, 0, "the score is not read off one token of each row")
    positions = graph.node(pick.input[1])
    assert positions
    token = _Last(positions.input[0], graph.shapes[pick.input[0]][0])
    shortened = shorten(graph, token, pick)
    return shortened if shortened.matmuls else Shortened(model, 0, shortened.reason)


def _pick(graph: ShapedGraph) -> onnx.NodeProto | None:
    """The node that is hidden.gather(1, last[:, None, None].expand(…)), if it alone reads that tensor."""
    outputs = {output.name for output in graph.model.graph.output}
    for node in reversed(graph.model.graph.node):
        if node.op_type == "GatherElements" and attribute(node, "axis", 0) == 1 and node.input[0] not in outputs:
            return node if _takes_one(graph, node) and readers(graph, node.input[0]) == [node] else None
    return None


def _takes_one(graph: ShapedGraph, node: onnx.NodeProto) -> bool:
    """Whether a row's places are all the same one."""
    index = graph.node(node.input[1])
    hidden = graph.shapes.get(node.input[0], ())
    if index is None or index.op_type != "Expand" or len(hidden) != 3:
        return False
    return tuple(graph.shapes.get(index.input[0], ())) == (hidden[0], 1, 1)
