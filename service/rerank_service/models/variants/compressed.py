"""Compress the weights of products to int8: values in 8 bits, with one scale per column.

    MatMul(x, weights)  ->  MatMul(x, DequantizeLinear(values, scales))

The graph is plain ONNX, and every runtime computes it. The gain comes from OpenVINO: it keeps the values in 8 bits,
quantizes the activations of each token in groups while it runs, and multiplies integers (engine/openvino.py). A score
depends on its own pair only, because no group contains two tokens.
"""

from collections.abc import Collection

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

from rerank_service.engine.openvino import GROUP
from rerank_service.models.variants.constant_products import (
    constant_matrix,
    constants,
    drop_unused,
    matrix_values,
    opset_of,
    product_name,
    quantize_columns,
)

_KINDS = ("MatMul", "Gemm")
_PREFIX = "columns8."


def compress_weights(model: onnx.ModelProto, left_out: Collection[str] = ()) -> int:
    """Compress, in place, the constant matrix of each product, except those named in `left_out`.

    Returns the number of products. Embeddings and norms stay unchanged, and so do matrices with fewer inputs than a
    group of activations: OpenVINO does not quantize these, and some versions return nothing.

    Raises:
        ValueError: the graph has an opset below 13.
    """
    opset_of(model)  # raises
    weights = dict(constants(model.graph))
    products = [
        (node, tensor)
        for node in model.graph.node
        if (tensor := constant_matrix(node, weights, _KINDS)) is not None
        and tensor.dims[_output_axis(node) - 1] >= GROUP
        and product_name(node) not in left_out
    ]
    matrices = {_matrix_name(node): (node, tensor) for node, tensor in products}
    dequantized = [_compressed(model.graph, *matrix, name) for name, matrix in matrices.items()]
    for node, _ in products:
        node.input[1] = _matrix_name(node)
    nodes = [*dequantized, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    drop_unused(model.graph)
    return len(products)


def _matrix_name(node: NodeProto) -> str:
    """Return the name of a product's compressed matrix. Products with the same matrix share it."""
    return f"{_PREFIX}{node.input[1]}{'' if _output_axis(node) else '.transposed'}"


def _compressed(graph: onnx.GraphProto, node: NodeProto, tensor: TensorProto, name: str) -> NodeProto:
    """Add values and scales of a matrix to the graph, and return the node that restores the matrix from them."""
    axis = _output_axis(node)
    weights = matrix_values(tensor)
    values, scales = quantize_columns(weights if axis else weights.T)
    values = np.ascontiguousarray(values if axis else values.T)
    graph.initializer.append(numpy_helper.from_array(values, f"{name}.values"))
    graph.initializer.append(numpy_helper.from_array(scales, f"{name}.scales"))
    return helper.make_node("DequantizeLinear", [f"{name}.values", f"{name}.scales"], [name], name=name, axis=axis)


def _output_axis(node: NodeProto) -> int:
    """Return the axis of a product's matrix that has the outputs: 1, or 0 if the node transposes the matrix."""
    return 0 if any(attribute.name == "transB" and attribute.i for attribute in node.attribute) else 1
