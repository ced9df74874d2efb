"""Products with weights in 8 bits, each row of a batch with a scale of its own.

What onnxruntime's dynamic quantisation does with one scale for all of a batch, so that a score depends on what it is
batched with, is done here with one for each token: s = max|x| / 127 over a row x, x / s rounded to 8 bits, the
product in integers, times s and the scale of the weights' column. (Per-token activations and per-channel weights:
Yao et al., ZeroQuant, 2022.) A score then depends on its own pair alone, to the bit. It costs three cheap nodes
more than one scale for all, measured in docs/performance.md.

Activations are unsigned around 128 and weights signed, the pair for which both VNNI and AMX have fast kernels.
"""

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

from rerank_service.models.variants.recipes import INT8_ROWS

_CONTRIB = "com.microsoft"
_LEVELS = 127
_ZERO = 128
_LEAST_SIDE = 32
"""Products with fewer inputs or outputs, as a classifier's, cost nothing and keep their precision."""
_TINY = 1e-9
_PREFIX = "rows8."


def quantize_rows(model: onnx.ModelProto, folder: Path | None = None, left_out: Collection[str] = ()) -> int:
    """Rewrite, in place, each product of activations with a constant matrix; gives how many there were.

    Its embeddings, norms and attention stay as they are, and so do the products `left_out`, by their names. Weights
    that are not loaded are read from `folder`, those of one product at a time.
    """
    return _Rewrite(model, folder, left_out).run()


def products(model: onnx.ModelProto) -> dict[str, tuple[int, int]]:
    """Inputs and outputs of each product that would be rewritten, by its name, in the order in which they run."""
    weights = dict(_constants(model.graph))
    found = ((node, _matrix(node, weights)) for node in model.graph.node)
    return {_name_of(node): (tensor.dims[0], tensor.dims[1]) for node, tensor in found if tensor is not None}


def _name_of(node: NodeProto) -> str:
    """A node's own name, else that of what it gives."""
    return node.name or node.output[0]


class _Rewrite:
    def __init__(self, model: onnx.ModelProto, folder: Path | None, left_out: Collection[str]) -> None:
        self._model = model
        self._folder = str(folder or "")
        self._left_out = left_out
        self._graph = model.graph
        self._opset = next(one.version for one in model.opset_import if one.domain in ("", "ai.onnx"))
        self._weights = dict(_constants(model.graph))
        self._rows: dict[str, str] = {}
        """Activations that are quantised already, since a layer's query, key and value share theirs."""
        self._known: set[str] = set()

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
        _drop_unused(self._graph)
        if rewritten and all(one.domain != _CONTRIB for one in self._model.opset_import):
            self._model.opset_import.append(helper.make_opsetid(_CONTRIB, 1))
        return rewritten

    def _matrix(self, node: NodeProto) -> NDArray[np.float32] | None:
        """The weights of a product that is rewritten, float32 of shape (inputs, outputs)."""
        tensor = _matrix(node, self._weights)
        if tensor is None or _name_of(node) in self._left_out:
            return None
        own = TensorProto()  # which keeps what is read for it; the model must not
        own.CopyFrom(tensor)
        return numpy_helper.to_array(own, self._folder).astype(np.float32)

    def _quantized(self, name: str, width: int) -> Iterator[NodeProto]:
        """Nodes that lay activations out as rows and quantise each by its own scale."""
        if name in self._rows:
            return
        self._rows[name] = rows = f"{_PREFIX}{name}"
        flat, scale = f"{rows}.flat", f"{rows}.scale"
        yield _node("Reshape", [name, self._constant(f"to.{width}", [-1, width], np.int64)], flat)
        yield _node("Abs", [flat], f"{rows}.abs")
        yield self._largest(f"{rows}.abs", f"{rows}.max")
        yield _node("Max", [f"{rows}.max", self._constant("tiny", _TINY, np.float32)], f"{rows}.positive")
        yield _node("Mul", [f"{rows}.positive", self._constant("step", 1 / _LEVELS, np.float32)], scale)
        yield _node("Shape", [scale], f"{rows}.shape")
        zero = numpy_helper.from_array(np.array([_ZERO], np.uint8))
        yield _node("ConstantOfShape", [f"{rows}.shape"], f"{rows}.zero", value=zero)
        yield _node("QuantizeLinear", [flat, scale, f"{rows}.zero"], f"{rows}.q", axis=0)
        yield _node("Unsqueeze", [scale, self._constant("last", [1], np.int64)], f"{rows}.column")
        yield _node("Shape", [name], f"{rows}.whole")
        begin, end = self._constant("begin", [0], np.int64), self._constant("end", [-1], np.int64)
        yield _node("Slice", [f"{rows}.whole", begin, end], f"{rows}.leading")

    def _largest(self, name: str, output: str) -> NodeProto:
        """The largest of each row; its axis is an input since opset 18, and was an attribute."""
        if self._opset >= 18:
            return _node("ReduceMax", [name, self._constant("last", [1], np.int64)], output, keepdims=0)
        return _node("ReduceMax", [name], output, axes=[1], keepdims=0)

    def _product(self, node: NodeProto, weights: NDArray[np.float32]) -> Iterator[NodeProto]:
        rows, out = self._rows[node.input[0]], f"{_PREFIX}{node.output[0]}"
        name = f"{node.input[1]}.{INT8_ROWS}"
        values, scales = quantize_columns(weights)
        inputs = [
            f"{rows}.q",
            self._constant(f"{name}.values", values, np.int8),
            self._constant("one", 1.0, np.float32),  # a row's own scale is multiplied in afterwards
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
        if name not in self._known:
            self._known.add(name)
            self._graph.initializer.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name


def quantize_columns(weights: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """A matrix of shape (inputs, outputs) as int8 of the same shape, and the scale of each column, float32 of shape
    (outputs,): weights = values * scales, but for rounding."""
    scales = np.abs(weights).max(axis=0) / _LEVELS
    scales = np.where(scales == 0, 1, scales).astype(np.float32)
    return np.clip(np.round(weights / scales), -_LEVELS, _LEVELS).astype(np.int8), scales


def _matrix(node: NodeProto, weights: Mapping[str, TensorProto]) -> TensorProto | None:
    """The weights of a product worth rewriting, of shape (inputs, outputs)."""
    tensor = weights.get(node.input[1]) if node.op_type == "MatMul" else None
    if tensor is None or tensor.data_type not in (TensorProto.FLOAT, TensorProto.FLOAT16):
        return None
    return tensor if len(tensor.dims) == 2 and min(tensor.dims) >= _LEAST_SIDE else None


def _node(kind: str, inputs: list[str], output: str, **attributes: Any) -> NodeProto:
    return helper.make_node(kind, inputs, [output], name=output, **attributes)


def _constants(graph: onnx.GraphProto) -> Iterator[tuple[str, TensorProto]]:
    """Tensors by the names under which nodes find them; those stored as fp16 by what widens them."""
    stored = {tensor.name: tensor for tensor in graph.initializer}
    yield from stored.items()
    for node in graph.node:
        if node.op_type == "Cast" and node.input[0] in stored:
            yield node.output[0], stored[node.input[0]]


def _drop_unused(graph: onnx.GraphProto) -> None:
    """Casts and weights that nothing reads any more."""
    used = {name for node in graph.node for name in node.input} | {put.name for put in graph.output}
    nodes = [node for node in graph.node if node.op_type != "Cast" or used & set(node.output)]
    used = {name for node in nodes for name in node.input}
    tensors = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(nodes)
    graph.initializer.extend(tensors)
