"""The last layer for the first token only.

A classifier that reads position 0 needs of the last layer's attention, feed-forward and norms that position alone;
keys and values are needed of all. So the selection of position 0 is moved up through every operator that works token
by token, into the attention's query side, until it meets a tensor that is needed whole. Nothing is approximated: the
same numbers are computed, for fewer rows.

Rule 1: a tensor whose operator is not understood is computed whole and cut; that is always right, only not shorter.
Rule 2: nodes are met in reverse topological order, so that whether a tensor is needed whole is known when it is met.
"""

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
import sympy
from onnx import helper, numpy_helper

from rerank_export.passes.shapes import Dim, ShapedGraph, reads, shaped

_TOKEN_BY_TOKEN = (
    *("Abs", "Add", "And", "Cast", "Clip", "Cos", "Div", "Dropout", "Elu", "Equal", "Erf", "Exp", "Gelu", "Greater"),
    *("GreaterOrEqual", "HardSwish", "Identity", "LeakyRelu", "Less", "LessOrEqual", "Log", "Max", "Min", "Mish"),
    *("Mul", "Neg", "Not", "Or", "Pow", "Reciprocal", "Relu", "Round", "Sigmoid", "Sign", "Sin", "Softplus", "Sqrt"),
    *("Sub", "Tanh", "Where", "Xor"),
)
_ALONG_THE_LAST_AXIS = ("LayerNormalization", "LogSoftmax", "RMSNormalization", "Softmax")


@dataclass(frozen=True, slots=True)
class Shortened:
    """What the pass did."""

    model: onnx.ModelProto
    matmuls: int
    """Matrix products with weights that now run for one token; 0: the graph is as it was."""
    reason: str = ""
    """Why nothing was done."""


@dataclass(slots=True)
class _Cut:
    """A walk in progress. `first(tensor, axis)` names the tensor cut to position 0 of that axis."""

    graph: ShapedGraph
    made: list[tuple[int, onnx.NodeProto]] = field(default_factory=list)
    """New nodes, each with the index of the old node behind which it stands."""
    constants: list[onnx.TensorProto] = field(default_factory=list)
    axes: dict[str, int] = field(default_factory=dict)
    whole: set[str] = field(default_factory=set)
    pending: list[tuple[int, str]] = field(default_factory=list)
    matmuls: int = 0

    def first(self, tensor: str, axis: int) -> str:
        """The name of the cut tensor, which is made when its turn comes; one that has size 1 there is its own."""
        shape = self.graph.shapes.get(tensor, ())
        if axis < 0 or (len(shape) > axis and shape[axis] == 1):
            return tensor
        if tensor not in self.axes:
            self.axes[tensor] = axis
            heapq.heappush(self.pending, (-self.graph.producers.get(tensor, -1), tensor))
        # the same tensor along two axes: rare, and then a name of its own
        return f"{tensor}.first" if self.axes[tensor] == axis else self.sliced(tensor, axis)

    def sliced(self, tensor: str, axis: int) -> str:
        """Cut a tensor that is computed whole."""
        self.whole |= self.graph.ancestors(tensor)
        name = f"{tensor}.first" if self.axes.get(tensor) == axis else f"{tensor}.first{axis}"
        bounds = [
            self.constant(f"{name}.{part}", [value]) for part, value in (("start", 0), ("end", 1), ("axis", axis))
        ]
        node = helper.make_node("Slice", [tensor, *bounds], [name], name=f"{name}.slice")
        self.made.append((self.graph.producers.get(tensor, -1), node))
        return name

    def constant(self, name: str, values: Sequence[int]) -> str:
        """An int64 vector."""
        self.constants.append(numpy_helper.from_array(np.array(values, np.int64), name))
        return name

    def needs_whole(self, tensor: str) -> str:
        """An operand that is used for all tokens."""
        self.whole |= self.graph.ancestors(tensor)
        return tensor

    def rank(self, tensor: str) -> int | None:
        """Number of axes, where it is known."""
        shape = self.graph.shapes.get(tensor)
        return None if shape is None else len(shape)


def shorten_last_layer(model: onnx.ModelProto) -> Shortened:
    """Compute the last layer for the first token only, where the graph reads no other."""
    graph = shaped(model)
    pick = _pick(graph)
    if pick is None:
        return Shortened(model, 0, "the classifier does not read the first token alone")
    cut = _Cut(graph)
    picked = pick.input[0]
    name = cut.first(picked, axis=1)
    while cut.pending:
        _, tensor = heapq.heappop(cut.pending)
        _cut_tensor(cut, tensor)
    if not cut.matmuls:
        return Shortened(model, 0, "no operator before the classifier works token by token")
    return Shortened(_rewired(cut, pick, name), cut.matmuls)


def _pick(graph: ShapedGraph) -> onnx.NodeProto | None:
    """The node that takes position 0 of axis 1 of (rows, tokens, width), if all that reads that tensor does so."""
    outputs = {output.name for output in graph.model.graph.output}
    for node in reversed(graph.model.graph.node):
        hidden = node.input[0] if node.input else ""
        if _takes_first(graph, node) and hidden not in outputs:
            readers = [other for other in graph.model.graph.node if hidden in reads(other)]
            return node if all(other is node or other.op_type == "Shape" for other in readers) else None
    return None


def _takes_first(graph: ShapedGraph, node: onnx.NodeProto) -> bool:
    """Whether a node is hidden[:, 0]."""
    if node.op_type != "Gather" or _attribute(node, "axis", 0) != 1 or len(graph.shapes.get(node.input[0], ())) != 3:
        return False
    index = graph.constants.get(node.input[1])
    return index is not None and index.size == 1 and not index.any()


def _cut_tensor(cut: _Cut, tensor: str) -> None:
    """Make the cut form of a tensor: by its own operator on cut operands, or by cutting the whole."""
    axis = cut.axes[tensor]
    node = cut.graph.node(tensor)
    rule = None if node is None or tensor in cut.whole else _RULES.get(node.op_type)
    made = rule(cut, node, axis) if rule and node and len(node.output) == 1 else None
    if made is None:
        cut.sliced(tensor, axis)
        return
    made.name = f"{tensor}.first.{made.op_type}"
    cut.made.append((cut.graph.producers[tensor], made))


Rule = Callable[[_Cut, onnx.NodeProto, int], onnx.NodeProto | None]
"""Gives the node that makes the cut tensor; None where the operator cannot be cut along that axis."""


def _copy(node: onnx.NodeProto, inputs: Sequence[str]) -> onnx.NodeProto:
    """The same operator on other operands."""
    copy = onnx.NodeProto()
    copy.CopyFrom(node)
    del copy.input[:]
    copy.input.extend(inputs)
    copy.output[0] = f"{node.output[0]}.first"
    return copy


def _token_by_token(cut: _Cut, node: onnx.NodeProto, axis: int) -> onnx.NodeProto | None:
    """Operands are aligned at their last axes, as broadcasting does."""
    rank = cut.rank(node.output[0])
    ranks = [cut.rank(name) for name in node.input if name]
    if rank is None or None in ranks:
        return None
    return _copy(node, [cut.first(name, axis - rank + (cut.rank(name) or 0)) if name else "" for name in node.input])


def _along_the_last_axis(cut: _Cut, node: onnx.NodeProto, axis: int) -> onnx.NodeProto | None:
    rank = cut.rank(node.output[0])
    along = _attribute(node, "axis", -1)
    if rank is None or axis >= along % rank:
        return None
    return _copy(node, [cut.first(node.input[0], axis), *node.input[1:]])


def _matmul(cut: _Cut, node: onnx.NodeProto, axis: int) -> onnx.NodeProto | None:
    """A row of the product is a row of the left operand times all of the right one."""
    rank, left_rank = cut.rank(node.output[0]), cut.rank(node.input[0])
    if rank is None or left_rank != rank or axis != rank - 2:
        return None
    if not cut.graph.depends_on_inputs(node.input[1]):
        cut.matmuls += 1
    return _copy(node, [cut.first(node.input[0], axis), cut.needs_whole(node.input[1])])


def _transpose(cut: _Cut, node: onnx.NodeProto, axis: int) -> onnx.NodeProto | None:
    return _copy(node, [cut.first(node.input[0], list(_attribute(node, "perm", []))[axis])])


def _concat(cut: _Cut, node: onnx.NodeProto, axis: int) -> onnx.NodeProto | None:
    rank = cut.rank(node.output[0])
    if rank is None or _attribute(node, "axis", 0) % rank == axis:
        return None
    return _copy(node, [cut.first(name, axis) for name in node.input])


def _slice(cut: _Cut, node: onnx.NodeProto, axis: int) -> onnx.NodeProto | None:
    rank = cut.rank(node.output[0])
    axes = cut.graph.constants.get(node.input[3]) if len(node.input) > 3 else None
    if rank is None or axes is None or axis in [int(one) % rank for one in axes.ravel()]:
        return None
    return _copy(node, [cut.first(node.input[0], axis), *node.input[1:]])


def _gather(cut: _Cut, node: onnx.NodeProto, axis: int) -> onnx.NodeProto | None:
    """A choice along another axis, by an index of known rank."""
    data_rank, index_rank = cut.rank(node.input[0]), cut.rank(node.input[1])
    if data_rank is None or index_rank is None:
        return None
    along = _attribute(node, "axis", 0) % data_rank
    if along <= axis < along + index_rank:
        return None
    return _copy(node, [cut.first(node.input[0], axis if axis < along else axis - index_rank + 1), node.input[1]])


def _gather_elements(cut: _Cut, node: onnx.NodeProto, axis: int) -> onnx.NodeProto | None:
    """Along another axis data and index are cut alike; along its own only the index is."""
    rank = cut.rank(node.input[0])
    if rank is None:
        return None
    if _attribute(node, "axis", 0) % rank == axis:
        return _copy(node, [cut.needs_whole(node.input[0]), cut.first(node.input[1], axis)])
    return _copy(node, [cut.first(node.input[0], axis), cut.first(node.input[1], axis)])


def _reduce(cut: _Cut, node: onnx.NodeProto, axis: int) -> onnx.NodeProto | None:
    rank = cut.rank(node.input[0])
    axes = _attribute(node, "axes", None)
    if len(node.input) > 1:
        constant = cut.graph.constants.get(node.input[1])
        axes = None if constant is None else constant.ravel().tolist()
    if rank is None or axes is None or not _attribute(node, "keepdims", 1):
        return None
    if axis in [int(one) % rank for one in axes]:
        return None
    return _copy(node, [cut.first(node.input[0], axis), *node.input[1:]])


def _reshape(cut: _Cut, node: onnx.NodeProto, axis: int) -> onnx.NodeProto | None:
    """Where the axis goes through unmixed: the sizes before it and its own are the same on both sides."""
    before, after = cut.graph.shapes.get(node.input[0]), cut.graph.shapes.get(node.output[0])
    if before is None or after is None:
        return None
    source = next(
        (
            at
            for at, size in enumerate(before)
            if size == after[axis] and _product(before[:at]) == _product(after[:axis])
        ),
        None,
    )
    target = [1 if at == axis else _size(size) for at, size in enumerate(after)]
    if source is None or target.count(-1) > 1:
        return None
    shape = cut.constant(f"{node.output[0]}.first.shape", target)
    return _copy(node, [cut.first(node.input[0], source), shape])


def _squeeze(cut: _Cut, node: onnx.NodeProto, axis: int) -> onnx.NodeProto | None:
    return _through_unit_axes(cut, node, axis, wide=node.input[0])


def _unsqueeze(cut: _Cut, node: onnx.NodeProto, axis: int) -> onnx.NodeProto | None:
    return _through_unit_axes(cut, node, axis, wide=node.output[0])


def _through_unit_axes(cut: _Cut, node: onnx.NodeProto, axis: int, *, wide: str) -> onnx.NodeProto | None:
    """Squeeze takes unit axes from its wide side, Unsqueeze puts them there."""
    axes = cut.graph.constants.get(node.input[1]) if len(node.input) > 1 else None
    rank = cut.rank(wide)
    if axes is None or rank is None:
        return None
    units = {int(one) % rank for one in axes.ravel()}
    kept = [at for at in range(rank) if at not in units]  # kept[narrow axis] = wide axis
    source = kept[axis] if wide == node.input[0] else (kept.index(axis) if axis in kept else None)
    return None if source is None else _copy(node, [cut.first(node.input[0], source), *node.input[1:]])


_RULES: dict[str, Rule] = {
    **dict.fromkeys(_TOKEN_BY_TOKEN, _token_by_token),
    **dict.fromkeys(_ALONG_THE_LAST_AXIS, _along_the_last_axis),
    **dict.fromkeys(("ReduceMean", "ReduceSum", "ReduceMax", "ReduceL2"), _reduce),
    "MatMul": _matmul,
    "Transpose": _transpose,
    "Concat": _concat,
    "Slice": _slice,
    "Gather": _gather,
    "GatherElements": _gather_elements,
    "Reshape": _reshape,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
}


def _product(sizes: Sequence[Dim]) -> Dim:
    return sympy.expand(sympy.prod(sizes))


def _size(size: Dim) -> int:
    """A size for Reshape; -1 where it is only known when the graph runs."""
    return int(size) if getattr(size, "is_Integer", False) else -1


def _attribute(node: onnx.NodeProto, name: str, default: object) -> Any:
    return next((helper.get_attribute_value(one) for one in node.attribute if one.name == name), default)


def _rewired(cut: _Cut, pick: onnx.NodeProto, first: str) -> onnx.ModelProto:
    """The graph with the new nodes behind those that they follow, and without those that nobody reads any more."""
    model = onnx.ModelProto()
    model.CopyFrom(cut.graph.model)
    graph = model.graph
    behind: dict[int, list[onnx.NodeProto]] = {}
    for index, node in cut.made:
        behind.setdefault(index, []).append(node)
    nodes = list(behind.get(-1, []))
    for index, node in enumerate(graph.node):
        if node.output[0] == pick.output[0]:
            node.input[0] = first
        nodes += [_known(cut.graph, node) or node, *behind.get(index, [])]
    kept = _needed(nodes, {output.name for output in graph.output})
    del graph.node[:], graph.value_info[:]
    graph.node.extend(kept)
    graph.initializer.extend(cut.constants)
    _drop_unread_weights(graph)
    return model


def _known(graph: ShapedGraph, node: onnx.NodeProto) -> onnx.NodeProto | None:
    """A constant for a node that gives a known size, so that no tensor is computed only for its shape."""
    name = node.output[0]
    if name not in graph.values or node.op_type == "Constant":
        return None
    values = np.array(graph.values[name], np.int64).reshape([int(size) for size in graph.shapes[name]])
    return helper.make_node("Constant", [], [name], name=node.name, value=numpy_helper.from_array(values))


def _needed(nodes: Sequence[onnx.NodeProto], wanted: set[str]) -> list[onnx.NodeProto]:
    kept = []
    for node in reversed(nodes):
        if wanted & set(node.output):
            wanted |= reads(node)
            kept.append(node)
    return kept[::-1]


def _drop_unread_weights(graph: onnx.GraphProto) -> None:
    read = {name for node in graph.node for name in reads(node)}
    kept = [one for one in graph.initializer if one.name in read]
    del graph.initializer[:]
    graph.initializer.extend(kept)
