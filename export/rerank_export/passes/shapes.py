"""A graph with the symbolic shapes of its tensors, and what can be asked of it."""

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
from onnxruntime.tools.symbolic_shape_infer import SymbolicShapeInference

Dim = Any
"""A dimension: a sympy expression, an integer where it is known."""


@dataclass(frozen=True, slots=True)
class ShapedGraph:
    """Nodes in topological order with the shapes of what they make."""

    model: onnx.ModelProto
    shapes: dict[str, tuple[Dim, ...]]
    values: dict[str, list[int]]
    """Tensors of integers that the shapes alone decide, such as the size of a head."""
    producers: dict[str, int]
    """Index of the node that makes a tensor."""
    constants: dict[str, NDArray[Any]]
    """All but those that lie in a file beside the graph, which are large."""

    def node(self, tensor: str) -> onnx.NodeProto | None:
        """The node that makes a tensor; None for inputs and weights."""
        index = self.producers.get(tensor)
        return None if index is None else self.model.graph.node[index]

    def ancestors(self, tensor: str) -> set[str]:
        """The tensor and all that it is made of, but for what the shapes alone decide."""
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
        """Whether a tensor is anything but a weight, or made of weights."""
        inputs = {one.name for one in self.model.graph.input}
        return not inputs.isdisjoint(self.ancestors(tensor))


def reads(node: onnx.NodeProto) -> set[str]:
    """All tensors that a node reads, those that its branches (of an If, say) take from around it included."""
    names = set(node.input)
    for attribute in node.attribute:
        for branch in (*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])):
            inside = {name for inner in branch.node for name in reads(inner)}
            names |= inside - {name for inner in branch.node for name in inner.output}
    return names


def shaped(model: onnx.ModelProto) -> ShapedGraph:
    """Infer the shapes of a graph's tensors."""
    inference = SymbolicShapeInference(2**31 - 1, auto_merge=True, guess_output_rank=False, verbose=0)
    # SymbolicShapeInference.infer_shapes does the same, and throws away the values that we want
    inference._preprocess(model)
    for name in [name for name, one in inference.initializers_.items() if uses_external_data(one)]:
        del inference.initializers_[name]  # their shapes are known by now, and it would read their numbers
    while inference.run_:
        inference._infer_impl()
    inference._update_output_from_vi()
    inferred: onnx.ModelProto = inference.out_mp_
    graph = inferred.graph
    shapes = {value.name: _dims(value) for value in (*graph.value_info, *graph.input, *graph.output)}
    constants = {one.name: numpy_helper.to_array(one) for one in graph.initializer if not uses_external_data(one)}
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            constants[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
    shapes |= {name: tuple(map(sympy.Integer, array.shape)) for name, array in constants.items()}
    shapes |= {one.name: tuple(map(sympy.Integer, one.dims)) for one in graph.initializer}
    producers = {output: index for index, node in enumerate(graph.node) for output in node.output}
    sizes = {value.name for value in graph.value_info if value.type.tensor_type.elem_type == onnx.TensorProto.INT64}
    values = {name: numbers for name, numbers in _known_values(inference) if name in sizes}
    return ShapedGraph(inferred, shapes, values, producers, constants)


def _dims(value: onnx.ValueInfoProto) -> tuple[Dim, ...]:
    return tuple(
        _symbol(dim.dim_param) if dim.dim_param else sympy.Integer(dim.dim_value)
        for dim in value.type.tensor_type.shape.dim
    )


@cache  # a graph names a few sizes thousands of times
def _symbol(text: str) -> Dim:
    """A dimension's name or formula; every name is a positive integer, so that products can be compared."""
    names = re.findall(r"[A-Za-z_]\w*(?!\w*\()", text)
    return sympy.sympify(text, locals={name: sympy.Symbol(name, integer=True, positive=True) for name in names})


def _known_values(inference: Any) -> Iterator[tuple[str, list[int]]]:
    for name, value in inference.sympy_data_.items():
        numbers = np.ravel(value).tolist() if not isinstance(value, list) else value
        if all(isinstance(number, int | sympy.Integer) for number in numbers):
            yield name, [int(number) for number in numbers]
