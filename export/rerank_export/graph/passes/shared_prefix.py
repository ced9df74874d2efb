"""Equal beginnings of the rows of a batch computed once, and padding not at all. For causal decoders only.

In a causal decoder, a token depends only on the tokens before it. So rows that begin alike, such as the prompts of one
query, have equal hidden states up to their first difference. This pass lets the operators that work token by token
(products with weights, norms, activations) compute each different token once:

1. Pack: their inputs are gathered to one row of the tokens to compute: (rows, tokens, width) -> (1, kept, width).
2. Unpack: for all other operators, such as the attention, each token of each row is gathered from that row.

The graph finds the tokens to keep (token_index.py), so its inputs stay the same.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import onnx
from onnx import helper, numpy_helper

from rerank_export.graph.passes.node_lists import attribute, needed_nodes, topologically_sorted
from rerank_export.graph.passes.shaped_graph import Dim, ShapedGraph, infer_shapes
from rerank_export.graph.passes.token_index import token_index
from rerank_service.models.variants.shared_prefix import KEPT, PLACES, SIZES

CAUSAL_KEY = "rerank.causal"
"""Metadata key of a graph in which a token depends on no later token, and whose positions are counted by the mask."""
_IDS, _MASK = "input_ids", "attention_mask"
_UNARY = ("Abs", "Cast", "Clip", "Erf", "Exp", "Identity", "Log", "Neg", "Reciprocal", "Sqrt", "Tanh")
_ACTIVATIONS = ("Elu", "Gelu", "HardSwish", "LeakyRelu", "Relu", "Sigmoid", "Softplus")
_ARITHMETIC = ("Add", "Div", "Max", "Min", "Mul", "Pow", "Sub")
_ELEMENTWISE = frozenset((*_UNARY, *_ACTIVATIONS, *_ARITHMETIC))
_REDUCTIONS = frozenset(("ReduceL2", "ReduceMax", "ReduceMean", "ReduceSum", "ReduceSumSquare"))
_LAST_AXIS = (-1, 2)


@dataclass(frozen=True, slots=True)
class Packed:
    """The result of the pass."""

    model: onnx.ModelProto
    matmuls: int
    """Matrix products with weights that compute each different token once; 0: the graph is unchanged."""
    reason: str = ""
    """Why the graph is unchanged."""


def share_prefixes(model: onnx.ModelProto) -> Packed:
    """Compute equal beginnings of rows once, if the graph is marked as causal."""
    if all(entry.key != CAUSAL_KEY for entry in model.metadata_props):
        return Packed(model, 0, "the model is not a causal decoder")
    graph = infer_shapes(model)
    nodes = graph.model.graph.node
    if {_IDS, _MASK} != {value.name for value in graph.model.graph.input}:
        return Packed(model, 0, f"the inputs are not {_IDS} and {_MASK}")
    if any(found.graphs or found.HasField("g") for node in nodes for found in node.attribute):
        return Packed(model, 0, "the graph has branches")
    token_wise = _TokenWise(graph)
    regions = _regions([node for node in nodes if token_wise.includes(node)])
    worthwhile = [region for region in regions if any(node.op_type == "MatMul" for node in region)]
    packed = {output for region in worthwhile for node in region for output in node.output}
    matmuls = sum(node.op_type == "MatMul" for region in worthwhile for node in region)
    if not matmuls:
        return Packed(model, 0, "no product with weights works token by token")
    return Packed(_rewritten(graph, token_wise, packed), matmuls)


def _regions(nodes: list[onnx.NodeProto]) -> list[list[onnx.NodeProto]]:
    """Return the nodes in groups that exchange no tensors. The nodes are in topological order."""
    regions: dict[int, list[onnx.NodeProto]] = {}
    region_of: dict[str, int] = {}
    for at, node in enumerate(nodes):
        joined = {region_of[name] for name in node.input if name in region_of}
        regions[at] = [inner for number in sorted(joined) for inner in regions.pop(number)] + [node]
        region_of |= {output: at for inner in regions[at] for output in inner.output}
    return list(regions.values())


@dataclass(frozen=True, slots=True)
class _TokenWise:
    """Find the operators that work token by token, on tensors of shape (rows, tokens, width)."""

    graph: ShapedGraph

    def has_tokens(self, tensor: str) -> bool:
        """Return True for a tensor of shape (rows, tokens, width) of a known width."""
        shape = self.graph.shapes.get(tensor, ())
        return len(shape) == 3 and tuple(shape[:2]) == self._tokens and shape[2].is_Integer

    def width(self, tensor: str) -> int:
        """Return the last dimension of a tensor."""
        return int(self.graph.shapes[tensor][-1])

    def includes(self, node: onnx.NodeProto) -> bool:
        """Return True for an operator that computes each token from that token alone."""
        if not node.input or not all(map(self.has_tokens, node.output)):
            return False
        if node.op_type in _ELEMENTWISE:
            return all(self.has_tokens(name) or self._same_for_all(name) for name in node.input if name)
        if not self.has_tokens(node.input[0]) or not all(map(self._constant, node.input[1:])):
            return False
        return self._keeps_tokens_apart(node)

    def _keeps_tokens_apart(self, node: onnx.NodeProto) -> bool:
        """Return True for an operator that combines numbers of the last axis only. Other operands are constants."""
        kind = node.op_type
        if kind == "MatMul":
            return len(self.graph.shapes.get(node.input[1], ())) == 2
        if kind in _REDUCTIONS:
            axes = self.graph.constants[node.input[1]] if len(node.input) > 1 else attribute(node, "axes", [])
            return [*axes] in ([-1], [2])
        default = {"Split": 0, "LayerNormalization": -1, "RMSNormalization": -1}.get(kind)
        return default is not None and attribute(node, "axis", default) in _LAST_AXIS

    @property
    def _tokens(self) -> tuple[Dim, ...]:
        return self.graph.shapes[_IDS]

    def _constant(self, tensor: str) -> bool:
        return not tensor or not self.graph.depends_on_inputs(tensor)

    def _same_for_all(self, tensor: str) -> bool:
        """Return True for a constant that has no axis of rows or tokens."""
        shape = self.graph.shapes.get(tensor)
        return shape is not None and all(size == 1 for size in shape[:-1]) and self._constant(tensor)


def _rewritten(graph: ShapedGraph, token_wise: _TokenWise, packed: set[str]) -> onnx.ModelProto:
    """Return the graph with `packed` tensors, and the nodes that pack and unpack."""
    model = onnx.ModelProto()
    model.CopyFrom(graph.model)
    index, constants = token_index(_IDS, _MASK)
    moves = _Moves(token_wise, packed)
    nodes = [*index, *(moved for node in model.graph.node for moved in moves.connected(node))]
    kept = topologically_sorted(needed_nodes(nodes, {output.name for output in model.graph.output}))
    del model.graph.node[:], model.graph.value_info[:]
    model.graph.node.extend(kept)
    model.graph.initializer.extend([*constants, *moves.constants.values()])
    return model


@dataclass(slots=True)
class _Moves:
    """The nodes that pack and unpack tensors. Each tensor is moved once."""

    token_wise: _TokenWise
    packed: set[str]
    constants: dict[str, onnx.TensorProto] = field(default_factory=dict, init=False)
    moved: set[str] = field(default_factory=set, init=False)

    def connected(self, node: onnx.NodeProto) -> Iterator[onnx.NodeProto]:
        """Yield the node with packed or unpacked inputs, and the nodes that move them."""
        if node.op_type == "Shape" and node.input[0] in self.packed and not node.attribute:
            width = self._constant(
                f"width.{self.token_wise.width(node.input[0])}", [self.token_wise.width(node.input[0])]
            )
            yield helper.make_node("Concat", [SIZES, width], node.output, name=node.name, axis=0)
            return
        is_packed = node.output[0] in self.packed
        for at, name in enumerate(node.input):
            if is_packed and self.token_wise.has_tokens(name) and name not in self.packed:
                yield from self._pack(name)
                node.input[at] = f"{name}.packed"
            elif not is_packed and name in self.packed:
                yield from self._unpack(name)
                node.input[at] = f"{name}.unpacked"
        yield node

    def _pack(self, name: str) -> Iterator[onnx.NodeProto]:
        width = self.token_wise.width(name)
        yield from self._move(name, f"{name}.packed", [1, -1, width], KEPT, axis=1)

    def _unpack(self, name: str) -> Iterator[onnx.NodeProto]:
        yield from self._move(name, f"{name}.unpacked", [-1, self.token_wise.width(name)], PLACES, axis=0)

    def _move(self, name: str, output: str, shape: list[int], index: str, axis: int) -> Iterator[onnx.NodeProto]:
        """Yield nodes that reshape a tensor and gather from it along an axis."""
        if output in self.moved:
            return
        self.moved.add(output)
        to = self._constant("to." + ".".join(map(str, shape)), shape)
        yield helper.make_node("Reshape", [name, to], [f"{output}.flat"], name=f"{output}.flat")
        yield helper.make_node("Gather", [f"{output}.flat", index], [output], name=output, axis=axis)

    def _constant(self, name: str, values: list[int]) -> str:
        name = f"shared_prefix.{name}"
        self.constants[name] = numpy_helper.from_array(np.array(values, np.int64), name)
        return name
