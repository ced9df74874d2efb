"""Products with constant weights: find them in a graph, and quantize their weights.

Both int8 recipes use them (int8.py and compressed.py).
"""

from collections.abc import Iterator, Mapping

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, numpy_helper

from rerank_service.models.graph_nodes import names_read

LEVELS = 127
"""Largest absolute value of a weight in 8 bits: symmetric around 0, so there is no zero point."""
_TINY = np.finfo(np.float32).tiny
"""Smallest scale. Below it, float32 has fewer digits."""
_FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16)
"""Types of stored weights."""
_MIN_OPSET = 13
"""The first opset whose `QuantizeLinear` and `DequantizeLinear` have one scale per row or column."""
_MIN_SIDE = 32
"""Minimum inputs and outputs of a product to quantize. Smaller ones, such as a classifier's, cost nothing."""


def opset_of(model: onnx.ModelProto) -> int:
    """Return the opset of a graph, which must have the operators of int8.

    Raises:
        ValueError: the opset is below 13.
    """
    opset = next(opset.version for opset in model.opset_import if opset.domain in ("", "ai.onnx"))
    if opset < _MIN_OPSET:
        raise ValueError(f"int8 weights need opset {_MIN_OPSET} or later, and the graph has {opset}: export it again")
    return opset


def products(model: onnx.ModelProto) -> dict[str, tuple[int, int]]:
    """Return (inputs, outputs) of each product that `quantize_rows` would quantize, by its name, in the order in which
    they run."""
    weights = dict(constants(model.graph))
    candidates = ((node, constant_matrix(node, weights)) for node in model.graph.node)
    return {product_name(node): (tensor.dims[0], tensor.dims[1]) for node, tensor in candidates if tensor is not None}


def product_name(node: NodeProto) -> str:
    """Return the name of a node, or of its first output if it has no name."""
    return node.name or node.output[0]


def constants(graph: onnx.GraphProto) -> Iterator[tuple[str, TensorProto]]:
    """Yield the constant tensors in fp32 by the names that nodes use. Weights in 16 bits have the name of the cast to
    fp32: a node that reads them without a cast computes in 16 bits."""
    stored = {tensor.name: tensor for tensor in graph.initializer}
    yield from ((name, tensor) for name, tensor in stored.items() if tensor.data_type == TensorProto.FLOAT)
    for node in graph.node:
        if node.op_type == "Cast" and node.input[0] in stored and cast_target(node) == TensorProto.FLOAT:
            yield node.output[0], stored[node.input[0]]


def cast_target(node: NodeProto) -> int:
    """Return the type to which a `Cast` converts."""
    return next(attribute.i for attribute in node.attribute if attribute.name == "to")


def constant_matrix(
    node: NodeProto, weights: Mapping[str, TensorProto], kinds: tuple[str, ...] = ("MatMul",)
) -> TensorProto | None:
    """Return the second factor of a product if it is constant and large enough to quantize; None for other nodes.

    `kinds` are the operators that count as products. The shape is (inputs, outputs), or the reverse if the node
    transposes the matrix.
    """
    tensor = weights.get(node.input[1]) if node.op_type in kinds else None
    if tensor is None or tensor.data_type not in _FLOATS:
        return None
    return tensor if len(tensor.dims) == 2 and min(tensor.dims) >= _MIN_SIDE else None


def matrix_values(tensor: TensorProto, folder: str = "") -> NDArray[np.float32]:
    """Return the values of a tensor in fp32. Weights that are not loaded are read from `folder`."""
    copy = TensorProto()  # to_array stores the weights that it reads in its argument, which must not be the model's
    copy.CopyFrom(tensor)
    return numpy_helper.to_array(copy, folder).astype(np.float32)


def quantize_columns(weights: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Quantize a matrix of shape (inputs, outputs) by column.

    Returns int8 values of the same shape and float32 scales of shape (outputs,): weights ≈ values * scales.
    """
    return quantize_by(largest_in_columns(weights), weights)


def quantize_by(
    largest: NDArray[np.float32], weights: NDArray[np.float32]
) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Quantize a matrix of shape (inputs, outputs). `largest`, of shape (outputs,), becomes `LEVELS`.

    `largest` is at least the largest absolute value of each column. Returns as `quantize_columns` does.
    """
    scales = largest / np.float32(LEVELS)
    scales = np.where(scales < _TINY, np.float32(1), scales)  # of a column of zeros, or nearly
    return np.clip(np.round(weights / scales), -LEVELS, LEVELS).astype(np.int8), scales


def largest_in_columns(weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the largest absolute value of each column; 0 without rows."""
    largest: NDArray[np.float32] = np.abs(weights).max(axis=0, initial=0)
    return largest


def drop_unused(graph: onnx.GraphProto) -> None:
    """Remove casts and weights that no node reads any more."""
    outputs = {output.name for output in graph.output}
    used = names_read(graph.node) | outputs
    nodes = [node for node in graph.node if node.op_type != "Cast" or used & set(node.output)]
    used = names_read(nodes) | outputs
    tensors = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(nodes)
    graph.initializer.extend(tensors)
