"""The walk that makes a graph compute its last layer for one token only; the callers say for which.

A classifier that reads one position needs of the last layer's attention, feed-forward and norms that position alone;
keys and values are needed of all. So the selection of the position is moved up through every operator that works token
by token, into the attention's query side, until it meets a tensor that is needed whole. Nothing is approximated: the
same numbers are computed, for fewer rows.

Rule 1: a tensor whose operator is not understood is computed whole and cut; that is always right, only not shorter.
Rule 2: nodes are met in reverse topological order, so that whether a tensor is needed whole is known when it is met.
"""

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import onnx
import sympy
from onnx import numpy_helper

from rerank_export.passes.nodes import attribute, dropped_unread, known, needed, ordered
from rerank_export.passes.shapes import Dim, ShapedGraph, reads

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


class Token(Protocol):
    """Which token is kept."""

    def can_be_cut(self, shape: Sequence[Dim], axis: int) -> bool:
        """Whether a tensor of that shape has that token at some place of the axis."""

    def cut(self, walk: "Walk", tensor: str, axis: int, name: str) -> list[onnx.NodeProto]:
        """Nodes that cut a whole tensor to that token, and keep the axis."""

    def picked(self, pick: onnx.NodeProto, one: str) -> onnx.NodeProto:
        """What makes the output of the node that picks the token, of a tensor that has no other."""


@dataclass(slots=True)
class Walk:
    """A walk in progress. `one(tensor, axis)` names the tensor cut to the token that is kept, along that axis."""

    graph: ShapedGraph
    token: Token
    made: list[tuple[int, onnx.NodeProto]] = field(default_factory=list)
    """New nodes, each with the index of the old node behind which it stands."""
    constants: list[onnx.TensorProto] = field(default_factory=list)
    axes: dict[str, int] = field(default_factory=dict)
    whole: set[str] = field(default_factory=set)
    pending: list[tuple[int, str]] = field(default_factory=list)
    matmuls: int = 0

    def one(self, tensor: str, axis: int) -> str:
        """The name of the cut tensor, which is made when its turn comes; one that has size 1 there is its own."""
        shape = self.graph.shapes.get(tensor, ())
        if axis < 0 or (len(shape) > axis and shape[axis] == 1):
            return tensor
        if tensor not in self.axes:
            self.axes[tensor] = axis
            heapq.heappush(self.pending, (-self.graph.producers.get(tensor, -1), tensor))
        # the same tensor along two axes: rare, and then a name of its own
        return f"{tensor}.one" if self.axes[tensor] == axis else self.cut_whole(tensor, axis)

    def can(self, tensor: str, axis: int) -> bool:
        """Whether a tensor has the token that is kept at some place of the axis, or is the same for all tokens."""
        shape = self.graph.shapes.get(tensor, ())
        return axis < 0 or len(shape) <= axis or shape[axis] == 1 or self.token.can_be_cut(shape, axis)

    def cut_whole(self, tensor: str, axis: int) -> str:
        """Cut a tensor that is computed whole."""
        self.whole |= self.graph.ancestors(tensor)
        name = f"{tensor}.one" if self.axes.get(tensor) == axis else f"{tensor}.one{axis}"
        place = self.graph.producers.get(tensor, -1)
        self.made += [(place, node) for node in self.token.cut(self, tensor, axis, name)]
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


def shorten(graph: ShapedGraph, token: Token, pick: onnx.NodeProto) -> Shortened:
    """Compute what a node picks of (rows, tokens, width) with as little of that as one token needs."""
    walk = Walk(graph, token)
    name = walk.one(pick.input[0], axis=1)
    while walk.pending:
        _, tensor = heapq.heappop(walk.pending)
        _cut_tensor(walk, tensor)
    if not walk.matmuls:
        return Shortened(graph.model, 0, "no operator before the classifier works token by token")
    return Shortened(_rewired(walk, pick, token.picked(pick, name)), walk.matmuls)


def readers(graph: ShapedGraph, tensor: str) -> list[onnx.NodeProto]:
    """Nodes that read a tensor's numbers, and not its shape alone."""
    return [node for node in graph.model.graph.node if tensor in reads(node) and node.op_type != "Shape"]


def _cut_tensor(walk: Walk, tensor: str) -> None:
    """Make the cut form of a tensor: by its own operator on cut operands, or by cutting the whole."""
    axis = walk.axes[tensor]
    node = walk.graph.node(tensor)
    rule = None if node is None or tensor in walk.whole else _RULES.get(node.op_type)
    made = rule(walk, node, axis) if rule and node and len(node.output) == 1 else None
    if made is None:
        walk.cut_whole(tensor, axis)
        return
    made.name = f"{tensor}.one.{made.op_type}"
    walk.made.append((walk.graph.producers[tensor], made))


Rule = Callable[[Walk, onnx.NodeProto, int], onnx.NodeProto | None]
"""Gives the node that makes the cut tensor; None where the operator cannot be cut along that axis."""


def _copy(node: onnx.NodeProto, inputs: Sequence[str]) -> onnx.NodeProto:
    """The same operator on other operands."""
    copy = onnx.NodeProto()
    copy.CopyFrom(node)
    del copy.input[:]
    copy.input.extend(inputs)
    copy.output[0] = f"{node.output[0]}.one"
    return copy


def _cut_operands(cut: Walk, operands: Sequence[tuple[str, int]]) -> list[str] | None:
    """The names of operands, each cut along its axis; None where one has no such token."""
    if not all(cut.can(name, axis) for name, axis in operands if name):
        return None
    return [cut.one(name, axis) if name else "" for name, axis in operands]


def _cut_first_operand(cut: Walk, node: onnx.NodeProto, axis: int) -> onnx.NodeProto | None:
    """The same operator with its first operand cut along an axis, the others as they are."""
    operands = _cut_operands(cut, [(node.input[0], axis)])
    return None if operands is None else _copy(node, [*operands, *node.input[1:]])


def _token_by_token(cut: Walk, node: onnx.NodeProto, axis: int) -> onnx.NodeProto | None:
    """Operands are aligned at their last axes, as broadcasting does."""
    rank = cut.rank(node.output[0])
    ranks = [cut.rank(name) for name in node.input if name]
    if rank is None or None in ranks:
        return None
    operands = _cut_operands(cut, [(name, axis - rank + (cut.rank(name) or 0)) for name in node.input])
    return None if operands is None else _copy(node, operands)


def _along_the_last_axis(cut: Walk, node: onnx.NodeProto, axis: int) -> onnx.NodeProto | None:
    rank = cut.rank(node.output[0])
    along = attribute(node, "axis", -1)
    if rank is None or axis >= along % rank:
        return None
    return _cut_first_operand(cut, node, axis)


def _matmul(cut: Walk, node: onnx.NodeProto, axis: int) -> onnx.NodeProto | None:
    """A row of the product is a row of the left operand times all of the right one."""
    rank, left_rank = cut.rank(node.output[0]), cut.rank(node.input[0])
    if rank is None or left_rank != rank or axis != rank - 2:
        return None
    if not cut.can(node.input[0], axis):
        return None
    if not cut.graph.depends_on_inputs(node.input[1]):
        cut.matmuls += 1
    return _copy(node, [cut.one(node.input[0], axis), cut.needs_whole(node.input[1])])


def _transpose(cut: Walk, node: onnx.NodeProto, axis: int) -> onnx.NodeProto | None:
    return _cut_first_operand(cut, node, list(attribute(node, "perm", []))[axis])


def _concat(cut: Walk, node: onnx.NodeProto, axis: int) -> onnx.NodeProto | None:
    rank = cut.rank(node.output[0])
    if rank is None or attribute(node, "axis", 0) % rank == axis:
        return None
    operands = _cut_operands(cut, [(name, axis) for name in node.input])
    return None if operands is None else _copy(node, operands)


def _slice(cut: Walk, node: onnx.NodeProto, axis: int) -> onnx.NodeProto | None:
    rank = cut.rank(node.output[0])
    axes = cut.graph.constants.get(node.input[3]) if len(node.input) > 3 else None
    if rank is None or axes is None or axis in [int(one) % rank for one in axes.ravel()]:
        return None
    return _cut_first_operand(cut, node, axis)


def _gather(cut: Walk, node: onnx.NodeProto, axis: int) -> onnx.NodeProto | None:
    """A choice along another axis, by an index of known rank."""
    data_rank, index_rank = cut.rank(node.input[0]), cut.rank(node.input[1])
    if data_rank is None or index_rank is None:
        return None
    along = attribute(node, "axis", 0) % data_rank
    if along <= axis < along + index_rank:
        return None
    return _cut_first_operand(cut, node, axis if axis < along else axis - index_rank + 1)


def _gather_elements(cut: Walk, node: onnx.NodeProto, axis: int) -> onnx.NodeProto | None:
    """Along another axis data and index are cut alike; along its own only the index is."""
    rank = cut.rank(node.input[0])
    if rank is None:
        return None
    if attribute(node, "axis", 0) % rank == axis:
        if not cut.can(node.input[1], axis):
            return None
        return _copy(node, [cut.needs_whole(node.input[0]), cut.one(node.input[1], axis)])
    operands = _cut_operands(cut, [(name, axis) for name in node.input])
    return None if operands is None else _copy(node, operands)


def _reduce(cut: Walk, node: onnx.NodeProto, axis: int) -> onnx.NodeProto | None:
    rank = cut.rank(node.input[0])
    axes = attribute(node, "axes", None)
    if len(node.input) > 1:
        constant = cut.graph.constants.get(node.input[1])
        axes = None if constant is None else constant.ravel().tolist()
    if rank is None or axes is None or not attribute(node, "keepdims", 1):
        return None
    if axis in [int(one) % rank for one in axes]:
        return None
    return _cut_first_operand(cut, node, axis)


def _reshape(cut: Walk, node: onnx.NodeProto, axis: int) -> onnx.NodeProto | None:
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
    if source is None or target.count(-1) > 1 or not cut.can(node.input[0], source):
        return None
    shape = cut.constant(f"{node.output[0]}.one.shape", target)
    return _copy(node, [cut.one(node.input[0], source), shape])


def _squeeze(cut: Walk, node: onnx.NodeProto, axis: int) -> onnx.NodeProto | None:
    return _through_unit_axes(cut, node, axis, wide=node.input[0])


def _unsqueeze(cut: Walk, node: onnx.NodeProto, axis: int) -> onnx.NodeProto | None:
    return _through_unit_axes(cut, node, axis, wide=node.output[0])


def _through_unit_axes(cut: Walk, node: onnx.NodeProto, axis: int, *, wide: str) -> onnx.NodeProto | None:
    """Squeeze takes unit axes from its wide side, Unsqueeze puts them there."""
    axes = cut.graph.constants.get(node.input[1]) if len(node.input) > 1 else None
    rank = cut.rank(wide)
    if axes is None or rank is None:
        return None
    units = {int(one) % rank for one in axes.ravel()}
    kept = [at for at in range(rank) if at not in units]  # kept[narrow axis] = wide axis
    source = kept[axis] if wide == node.input[0] else (kept.index(axis) if axis in kept else None)
    return None if source is None else _cut_first_operand(cut, node, source)


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


def _rewired(walk: Walk, pick: onnx.NodeProto, picked: onnx.NodeProto) -> onnx.ModelProto:
    """The graph with the new nodes, and without those that nobody reads any more."""
    model = onnx.ModelProto()
    model.CopyFrom(walk.graph.model)
    graph = model.graph
    behind: dict[int, list[onnx.NodeProto]] = {}
    for index, node in walk.made:
        behind.setdefault(index, []).append(node)
    nodes = list(behind.get(-1, []))
    for index, node in enumerate(graph.node):
        old = picked if node.output[0] == pick.output[0] else known(walk.graph, node) or node
        nodes += [old, *behind.get(index, [])]
    kept = ordered(needed(nodes, {output.name for output in graph.output}))
    del graph.node[:], graph.value_info[:]
    graph.node.extend(kept)
    graph.initializer.extend(walk.constants)
    return dropped_unread(model)
