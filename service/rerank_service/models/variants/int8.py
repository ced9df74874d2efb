"""Quantize products with constant weights to int8, with one scale per token.

The dynamic quantization of onnxruntime has one scale for the whole batch, so a score depends on the other pairs of its
batch. Here each token has its own scale: s = max|x| / 127 over its activations x. x / s is rounded to 8 bits, the
product is computed in integers, and the result is multiplied by s and by the scale of the weights' column (per-token
activations and per-channel weights: Yao et al., ZeroQuant, 2022). A score then depends on its own pair only, to the
bit. It costs three cheap nodes more than one scale per batch, measured in docs/performance.md.

Activations are unsigned around 128 and weights are signed, because VNNI and AMX have fast kernels for this combination.
Processors without VNNI have a fast one too, which adds two neighboring products in 16 bits, where they can overflow.
The weights are small enough that they do not, so a score is the same on every processor
(docs/decisions/0073-int8-without-overflow.md).
"""

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, helper, numpy_helper

from rerank_service.models.variants.constant_products import (
    LEVELS,
    constant_matrix,
    constants,
    drop_unused,
    largest_in_columns,
    matrix_values,
    opset_of,
    product_name,
    quantize_by,
)
from rerank_service.models.variants.recipes import INT8_ROWS

_CONTRIB = "com.microsoft"
_ZERO = 128
_TINY = 1e-9
_PREFIX = "rows8."


def quantize_rows(model: onnx.ModelProto, folder: Path | None = None, left_out: Collection[str] = ()) -> int:
    """Quantize, in place, each product of activations with a constant matrix. Return the number of products.

    Embeddings, norms, attention and the products named in `left_out` stay unchanged. Weights that are not loaded are
    read from `folder`, for one product at a time.
    """
    return _Rewrite(model, folder, left_out).run()


def quantize_without_overflow(weights: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Quantize a matrix of shape (inputs, outputs) by column, for kernels that add two products in 16 bits.

    Such a kernel (`vpmaddubsw` of AVX2 and AVX-512BW) adds the products of rows 0 and 1, of rows 2 and 3, and so on.
    With activations of at most 255, 16 bits hold the sum if the two weights sum to at most 128. Rounding adds at most 1
    to the sum, so it is at most `LEVELS` before.

    Returns int8 values of the same shape and float32 scales of shape (outputs,): weights ≈ values * scales.
    """
    paired = len(weights) // 2 * 2
    sums = weights[0:paired:2] + weights[1:paired:2]
    return quantize_by(np.maximum(largest_in_columns(weights), largest_in_columns(sums)), weights)


class _Rewrite:
    """The quantization of one graph."""

    def __init__(self, model: onnx.ModelProto, folder: Path | None, left_out: Collection[str]) -> None:
        self._model = model
        self._folder = str(folder or "")
        self._left_out = left_out
        self._graph = model.graph
        self._opset = opset_of(model)
        self._weights = dict(constants(model.graph))
        self._rows: dict[str, str] = {}
        """Quantized activations by the names of the originals. Query, key and value of a layer share theirs."""
        self._constant_names: set[str] = set()

    def run(self) -> int:
        nodes: list[NodeProto] = []
        rewritten = 0
        for node in self._graph.node:
            matrix = self._matrix(node)
            if matrix is None:
                nodes.append(node)
            else:
                rewritten += 1
                nodes += [*self._quantized(node.input[0], len(matrix)), *self._product(node, matrix)]
        del self._graph.node[:]
        self._graph.node.extend(nodes)
        drop_unused(self._graph)
        if rewritten and all(opset.domain != _CONTRIB for opset in self._model.opset_import):
            self._model.opset_import.append(helper.make_opsetid(_CONTRIB, 1))
        return rewritten

    def _matrix(self, node: NodeProto) -> NDArray[np.float32] | None:
        """Return the weights of a product to quantize, float32 of shape (inputs, outputs); None for other nodes."""
        tensor = constant_matrix(node, self._weights)
        if tensor is None or product_name(node) in self._left_out:
            return None
        return matrix_values(tensor, self._folder)

    def _quantized(self, name: str, width: int) -> Iterator[NodeProto]:
        """Yield nodes that reshape activations to rows, one per token, and quantize each row by its own scale."""
        if name in self._rows:
            return
        self._rows[name] = rows = f"{_PREFIX}{name}"
        flat, scale = f"{rows}.flat", f"{rows}.scale"
        yield _node("Reshape", [name, self._constant(f"to.{width}", [-1, width], np.int64)], flat)
        yield _node("Abs", [flat], f"{rows}.abs")
        yield self._largest(f"{rows}.abs", f"{rows}.max")
        yield _node("Max", [f"{rows}.max", self._constant("tiny", _TINY, np.float32)], f"{rows}.positive")
        yield _node("Mul", [f"{rows}.positive", self._constant("step", 1 / LEVELS, np.float32)], scale)
        yield _node("Shape", [scale], f"{rows}.shape")
        zero = numpy_helper.from_array(np.array([_ZERO], np.uint8))
        yield _node("ConstantOfShape", [f"{rows}.shape"], f"{rows}.zero", value=zero)
        yield _node("QuantizeLinear", [flat, scale, f"{rows}.zero"], f"{rows}.q", axis=0)
        yield _node("Unsqueeze", [scale, self._constant("last", [1], np.int64)], f"{rows}.column")
        yield _node("Shape", [name], f"{rows}.whole")
        begin, end = self._constant("begin", [0], np.int64), self._constant("end", [-1], np.int64)
        yield _node("Slice", [f"{rows}.whole", begin, end], f"{rows}.leading")

    def _largest(self, name: str, output: str) -> NodeProto:
        """Return a node for the maximum of each row. The axis is an input since opset 18, else an attribute."""
        if self._opset >= 18:
            return _node("ReduceMax", [name, self._constant("last", [1], np.int64)], output, keepdims=0)
        return _node("ReduceMax", [name], output, axes=[1], keepdims=0)

    def _product(self, node: NodeProto, weights: NDArray[np.float32]) -> Iterator[NodeProto]:
        rows, out = self._rows[node.input[0]], f"{_PREFIX}{node.output[0]}.product"
        name = f"{node.input[1]}.{INT8_ROWS}"
        values, scales = quantize_without_overflow(weights)
        inputs = [
            f"{rows}.q",
            self._constant(f"{name}.values", values, np.int8),
            self._constant("one", 1.0, np.float32),  # the scale of each row is applied afterwards
            self._constant(f"{name}.scales", scales, np.float32),
            self._constant("zero", _ZERO, np.uint8),
        ]
        yield _node("MatMulIntegerToFloat", inputs, f"{out}.unscaled", domain=_CONTRIB)
        yield _node("Mul", [f"{out}.unscaled", f"{rows}.column"], f"{out}.rows")
        width = self._constant(f"width.{weights.shape[1]}", [weights.shape[1]], np.int64)
        yield _node("Concat", [f"{rows}.leading", width], f"{out}.shape", axis=0)
        yield helper.make_node("Reshape", [f"{out}.rows", f"{out}.shape"], [node.output[0]], name=node.name)

    def _constant(self, name: str, value: object, dtype: type[np.generic]) -> str:
        name = f"{_PREFIX}{name}"
        if name not in self._constant_names:
            self._constant_names.add(name)
            self._graph.initializer.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name


def _node(kind: str, inputs: list[str], output: str, **attributes: Any) -> NodeProto:
    return helper.make_node(kind, inputs, [output], name=output, **attributes)
