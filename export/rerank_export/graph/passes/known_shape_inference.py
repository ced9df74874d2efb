"""onnxruntime's symbolic shape inference, which goes on where a shape is unknown.

The original raises an error at the first operator that reads a tensor of unknown shape. It also has no rule for the
reductions that take their axes as an input since opset 18, except for ReduceSum and ReduceMean, and it computes wrong
values of matrices of sizes.
"""

from collections.abc import Callable
from typing import Any

import onnx
from onnxruntime.tools.symbolic_shape_infer import SymbolicShapeInference

_REDUCTIONS = ("L1", "L2", "LogSum", "LogSumExp", "Max", "Min", "SumSquare")
_UNKNOWN = "rerank.UnknownShape"
"""Operator type of a node that is left out, while the inference runs. It has no rule for this type."""

_Rule = Callable[[onnx.NodeProto], None]


class KnownShapeInference(SymbolicShapeInference):  # type: ignore[misc]  # onnxruntime has no types
    """Infers what can be inferred: an operator with an unknown input, or without a rule, gives no shape."""

    dispatcher_: dict[str, _Rule]

    def __init__(self, int_max: int, *, auto_merge: bool, guess_output_rank: bool, verbose: int) -> None:
        super().__init__(int_max, auto_merge, guess_output_rank, verbose)
        self._left_out: dict[str, str] = {}
        """Operators of the nodes that are left out, by the names of their first outputs."""
        for name in _REDUCTIONS:
            self.dispatcher_.setdefault(f"Reduce{name}", self._infer_ReduceMean)
        self.dispatcher_["ReduceProd"] = self._infer_product
        self.dispatcher_ = {name: self._guarded(rule) for name, rule in self.dispatcher_.items()}

    def restore_operators(self) -> None:
        """Give the nodes that were left out their operators back."""
        for node in self.out_mp_.graph.node:
            node.op_type = self._left_out.get(node.output[0], node.op_type)

    def _onnx_infer_single_node(self, node: onnx.NodeProto) -> None:
        """Infer a node by onnx. This is the first step of each node; rules of `dispatcher_` follow."""
        node.op_type = self._left_out.pop(node.output[0], node.op_type)
        if any(self._is_unknown(name) for name in node.input if name):
            for output in node.output:
                self.known_vi_.pop(output, None)  # the original would read its shape
            super()._onnx_infer_single_node(node)
            self._leave_out(node)
        else:
            super()._onnx_infer_single_node(node)

    def _is_unknown(self, name: str) -> bool:
        kind = self.known_vi_[name].type
        return kind.WhichOneof("value") == "tensor_type" and not kind.tensor_type.HasField("shape")

    def _infer_product(self, node: onnx.NodeProto) -> None:
        """Infer the shape, and the value of a product of sizes; the original infers only the value."""
        self._infer_ReduceMean(node)
        self._infer_ReduceProd(node)

    def _guarded(self, rule: _Rule) -> _Rule:
        """Return a rule that leaves a node out where the original raises an error."""

        def infer(node: onnx.NodeProto) -> None:
            try:
                rule(node)
            except Exception:  # noqa: BLE001 - the original has asserts and type errors for what it cannot infer
                self._leave_out(node)
            else:
                self._forget_matrices(node)

        return infer

    def _forget_matrices(self, node: onnx.NodeProto) -> None:
        """Drop the values of outputs with several axes, such as the paddings that torch reverses and transposes.

        The original keeps values as flat lists, so its rules for slices and transposed matrices give wrong ones.
        """
        for output in filter(None, node.output):
            if len(self.known_vi_[output].type.tensor_type.shape.dim) > 1:
                self.sympy_data_.pop(output, None)

    def _leave_out(self, node: onnx.NodeProto) -> None:
        """Give the outputs of a node no shape, and hide the node from all further steps."""
        for output in filter(None, node.output):
            tensor: Any = self.known_vi_[output].type.tensor_type
            tensor.ClearField("shape")
            self.sympy_data_.pop(output, None)
            if not tensor.elem_type:  # the original would stop at an undefined type
                tensor.elem_type = self.known_vi_[node.input[0]].type.tensor_type.elem_type
        self._left_out[node.output[0]] = node.op_type
        node.op_type = _UNKNOWN
