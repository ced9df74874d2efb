"""A graph with the symbolic shapes of its tensors, as far as they are known."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import onnx
import sympy
from numpy.typing import NDArray
from onnx import numpy_helper
from onnx.external_data_helper import uses_external_data

from rerank_export.graph.passes.known_shape_inference import KnownShapeInference

Dim = Any
"""A dimension: a sympy expression; a sympy integer if it is known."""


@dataclass(frozen=True, slots=True)
class ShapedGraph:
    """A graph with its nodes in topological order, and the shapes of all tensors."""

    model: onnx.ModelProto
    shapes: dict[str, tuple[Dim, ...]]
    """Shapes by the names of tensors. A tensor of unknown shape is missing."""
    values: dict[str, list[int]]
    """Contents of int64 tensors that depend on known shapes only, such as the size of a head."""
    producers: dict[str, int]
    """Index of the node that makes a tensor."""
    constants: dict[str, NDArray[Any]]
    """Contents of constants by name, except large ones, which are stored in a file beside the graph."""

    def node(self, tensor: str) -> onnx.NodeProto | None:
        """Return the node that makes a tensor; None for inputs and weights."""
        index = self.producers.get(tensor)
        return None if index is None else self.model.graph.node[index]

    def ancestors(self, tensor: str) -> set[str]:
        """Return a tensor and all tensors that it is computed from, except known sizes (`values`)."""
        found: set[str] = set()
        pending = [tensor]
        while pending:
            name = pending.pop()
            if name not in found and name not in self.values:
                found.add(name)
                node = self.node(name)
                pending += reads(node) if node else []
        return found

    def depends_on_inputs(self, tensor: str) -> bool:
        """Return False if a tensor is a weight or is computed from weights only."""
        inputs = {value.name for value in self.model.graph.input}
        return not inputs.isdisjoint(self.ancestors(tensor))


def reads(node: onnx.NodeProto) -> set[str]:
    """Return all tensors that a node reads, including those that its branches (such as of an If) read from outside."""
    names = set(node.input)
    for attribute in node.attribute:
        for branch in (*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])):
            inside = {name for inner in branch.node for name in reads(inner)}
            names |= inside - {name for inner in branch.node for name in inner.output}
    return names


def infer_shapes(model: onnx.ModelProto) -> ShapedGraph:
    """Infer the shapes of a graph's tensors. A tensor whose shape cannot be inferred is not in `shapes`."""
    inference = KnownShapeInference(2**31 - 1, auto_merge=True, guess_output_rank=False, verbose=0)
    # SymbolicShapeInference.infer_shapes does the same, but discards the values that are needed here
    inference._preprocess(model)
    for name in [name for name, weight in inference.initializers_.items() if uses_external_data(weight)]:
        del inference.initializers_[name]  # their shapes are known now, and the inference would read their contents
    while inference.run_:
        inference._infer_impl()
    inference.restore_operators()
    inference._update_output_from_vi()
    inferred: onnx.ModelProto = inference.out_mp_
    graph = inferred.graph
    described = (*graph.value_info, *graph.input, *graph.output)
    shapes = {value.name: _dims(value) for value in described if value.type.tensor_type.HasField("shape")}
    constants = {
        weight.name: numpy_helper.to_array(weight) for weight in graph.initializer if not uses_external_data(weight)
    }
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            constants[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
    shapes |= {name: tuple(map(sympy.Integer, array.shape)) for name, array in constants.items()}
    shapes |= {weight.name: tuple(map(sympy.Integer, weight.dims)) for weight in graph.initializer}
    producers = {output: index for index, node in enumerate(graph.node) for output in node.output}
    sizes = {value.name for value in graph.value_info if value.type.tensor_type.elem_type == onnx.TensorProto.INT64}
    values = {name: numbers for name, numbers in _known_values(inference) if name in sizes and name in shapes}
    return ShapedGraph(inferred, shapes, values, producers, constants)


def _dims(value: onnx.ValueInfoProto) -> tuple[Dim, ...]:
    return tuple(
        _symbol(dim.dim_param) if dim.dim_param else sympy.Integer(dim.dim_value)
        for dim in value.type.tensor_type.shape.dim
    )


@cache  # a graph repeats a few names thousands of times
def _symbol(text: str) -> Dim:
    """Return a dimension from its name or formula. Names are positive integers, so that products can be compared."""
    names = re.findall(r"[A-Za-z_]\w*(?!\w*\()", text)
    return sympy.sympify(text, locals={name: sympy.Symbol(name, integer=True, positive=True) for name in names})


def _known_values(inference: Any) -> Iterator[tuple[str, list[int]]]:
    """Yield the tensors whose contents the inference knows as integers."""
    for name, value in inference.sympy_data_.items():
        numbers = np.ravel(value).tolist() if not isinstance(value, list) else value
        if all(isinstance(number, int | sympy.Integer) for number in numbers):
            yield name, [int(number) for number in numbers]
