"""A rule per operator: compute its output for one token from operands that are cut to that token."""

from collections.abc import Callable, Sequence

import onnx
import sympy

from rerank_export.graph.passes.node_lists import attribute
from rerank_export.graph.passes.shaped_graph import Dim
from rerank_export.graph.passes.token_cut import TokenCut

Rule = Callable[[TokenCut, onnx.NodeProto, int], onnx.NodeProto | None]
"""Returns the node that makes the cut output along an axis; None if the operator cannot be cut along it."""

_TOKEN_BY_TOKEN = (
    *("Abs", "Add", "And", "Cast", "Clip", "Cos", "Div", "Dropout", "Elu", "Equal", "Erf", "Exp", "Gelu", "Greater"),
    *("GreaterOrEqual", "HardSwish", "Identity", "LeakyRelu", "Less", "LessOrEqual", "Log", "Max", "Min", "Mish"),
    *("Mul", "Neg", "Not", "Or", "Pow", "Reciprocal", "Relu", "Round", "Sigmoid", "Sign", "Sin", "Softplus", "Sqrt"),
    *("Sub", "Tanh", "Where", "Xor"),
)
_ALONG_THE_LAST_AXIS = ("LayerNormalization", "LogSoftmax", "RMSNormalization", "Softmax")


def _copy(node: onnx.NodeProto, inputs: Sequence[str]) -> onnx.NodeProto:
    """Return the same operator with other operands."""
    copy = onnx.NodeProto()
    copy.CopyFrom(node)
    del copy.input[:]
    copy.input.extend(inputs)
    copy.output[0] = f"{node.output[0]}.one"
    return copy


def _cut_operands(cut: TokenCut, operands: Sequence[tuple[str, int]]) -> list[str] | None:
    """Return the names of the operands, each cut along its axis; None if one of them cannot be cut."""
    if not all(cut.can_cut(name, axis) for name, axis in operands if name):
        return None
    return [cut.request(name, axis) if name else "" for name, axis in operands]


def _cut_first_operand(cut: TokenCut, node: onnx.NodeProto, axis: int) -> onnx.NodeProto | None:
    """Return the same operator with only its first operand cut, along an axis."""
    operands = _cut_operands(cut, [(node.input[0], axis)])
    return None if operands is None else _copy(node, [*operands, *node.input[1:]])


def _token_by_token(cut: TokenCut, node: onnx.NodeProto, axis: int) -> onnx.NodeProto | None:
    """Cut all operands. Broadcasting aligns them at their last axes."""
    rank = cut.rank(node.output[0])
    ranks = [cut.rank(name) for name in node.input if name]
    if rank is None or None in ranks:
        return None
    operands = _cut_operands(cut, [(name, axis - rank + (cut.rank(name) or 0)) for name in node.input])
    return None if operands is None else _copy(node, operands)


def _along_the_last_axis(cut: TokenCut, node: onnx.NodeProto, axis: int) -> onnx.NodeProto | None:
    rank = cut.rank(node.output[0])
    along = attribute(node, "axis", -1)
    if rank is None or axis >= along % rank:
        return None
    return _cut_first_operand(cut, node, axis)


def _matmul(cut: TokenCut, node: onnx.NodeProto, axis: int) -> onnx.NodeProto | None:
    """Cut the left operand: a row of the product needs one row of it, and the whole right operand."""
    rank, left_rank = cut.rank(node.output[0]), cut.rank(node.input[0])
    if rank is None or left_rank != rank or axis != rank - 2:
        return None
    if not cut.can_cut(node.input[0], axis):
        return None
    if not cut.graph.depends_on_inputs(node.input[1]):
        cut.matmuls += 1
    return _copy(node, [cut.request(node.input[0], axis), cut.needs_whole(node.input[1])])


def _transpose(cut: TokenCut, node: onnx.NodeProto, axis: int) -> onnx.NodeProto | None:
    return _cut_first_operand(cut, node, list(attribute(node, "perm", []))[axis])


def _concat(cut: TokenCut, node: onnx.NodeProto, axis: int) -> onnx.NodeProto | None:
    rank = cut.rank(node.output[0])
    if rank is None or attribute(node, "axis", 0) % rank == axis:
        return None
    operands = _cut_operands(cut, [(name, axis) for name in node.input])
    return None if operands is None else _copy(node, operands)


def _slice(cut: TokenCut, node: onnx.NodeProto, axis: int) -> onnx.NodeProto | None:
    rank = cut.rank(node.output[0])
    axes = cut.graph.constants.get(node.input[3]) if len(node.input) > 3 else None
    if rank is None or axes is None or axis in [int(number) % rank for number in axes.ravel()]:
        return None
    return _cut_first_operand(cut, node, axis)


def _gather(cut: TokenCut, node: onnx.NodeProto, axis: int) -> onnx.NodeProto | None:
    """Cut the data of a choice along another axis, by an index of known rank."""
    data_rank, index_rank = cut.rank(node.input[0]), cut.rank(node.input[1])
    if data_rank is None or index_rank is None:
        return None
    along = attribute(node, "axis", 0) % data_rank
    if along <= axis < along + index_rank:
        return None
    return _cut_first_operand(cut, node, axis if axis < along else axis - index_rank + 1)


def _gather_elements(cut: TokenCut, node: onnx.NodeProto, axis: int) -> onnx.NodeProto | None:
    """Cut data and index along another axis; only the index along the operator's own axis."""
    rank = cut.rank(node.input[0])
    if rank is None:
        return None
    if attribute(node, "axis", 0) % rank == axis:
        if not cut.can_cut(node.input[1], axis):
            return None
        return _copy(node, [cut.needs_whole(node.input[0]), cut.request(node.input[1], axis)])
    operands = _cut_operands(cut, [(name, axis) for name in node.input])
    return None if operands is None else _copy(node, operands)


def _reduce(cut: TokenCut, node: onnx.NodeProto, axis: int) -> onnx.NodeProto | None:
    rank = cut.rank(node.input[0])
    axes = attribute(node, "axes", None)
    if len(node.input) > 1:
        constant = cut.graph.constants.get(node.input[1])
        axes = None if constant is None else constant.ravel().tolist()
    if rank is None or axes is None or not attribute(node, "keepdims", 1):
        return None
    if axis in [int(number) % rank for number in axes]:
        return None
    return _cut_first_operand(cut, node, axis)


def _reshape(cut: TokenCut, node: onnx.NodeProto, axis: int) -> onnx.NodeProto | None:
    """Cut an axis that the reshape keeps: its size, and the product of the sizes before it, are equal on both sides."""
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
    if source is None or target.count(-1) > 1 or not cut.can_cut(node.input[0], source):
        return None
    shape = cut.constant(f"{node.output[0]}.one.shape", target)
    return _copy(node, [cut.request(node.input[0], source), shape])


def _squeeze(cut: TokenCut, node: onnx.NodeProto, axis: int) -> onnx.NodeProto | None:
    return _through_unit_axes(cut, node, axis, wide=node.input[0])


def _unsqueeze(cut: TokenCut, node: onnx.NodeProto, axis: int) -> onnx.NodeProto | None:
    return _through_unit_axes(cut, node, axis, wide=node.output[0])


def _through_unit_axes(cut: TokenCut, node: onnx.NodeProto, axis: int, *, wide: str) -> onnx.NodeProto | None:
    """Map the axis between both sides: only the side named `wide` has the unit axes."""
    axes = cut.graph.constants.get(node.input[1]) if len(node.input) > 1 else None
    rank = cut.rank(wide)
    if axes is None or rank is None:
        return None
    units = {int(number) % rank for number in axes.ravel()}
    kept = [at for at in range(rank) if at not in units]  # kept[narrow axis] = wide axis
    source = kept[axis] if wide == node.input[0] else (kept.index(axis) if axis in kept else None)
    return None if source is None else _cut_first_operand(cut, node, source)


RULES: dict[str, Rule] = {
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
"""Rules by operator. The output of any other operator is computed whole and cut afterwards."""


def _product(sizes: Sequence[Dim]) -> Dim:
    return sympy.expand(sympy.prod(sizes))


def _size(size: Dim) -> int:
    """Return a size for Reshape; -1 if it is only known at run time."""
    return int(size) if getattr(size, "is_Integer", False) else -1
