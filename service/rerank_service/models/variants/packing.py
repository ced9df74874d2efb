"""Pack a graph: remove padding from the first fused attention on, until an operator needs whole rows.

    RemovePadding      (rows, length, width) and the token count of each row -> (tokens, width) and their offsets
    PackedAttention    attention within each row
    RestorePadding     (tokens, width) -> (rows, length, width), zeros for padding

All three have CUDA kernels only. `onnxruntime.transformers` packs as well, but always up to the last norm of the graph.
Graphs of `rerank export` end with a layer that computes only its first token, so their last norm has one token per row.
Therefore packed tensors are followed through operators that work token by token, and restored before any other one.

Rule: a tensor is packed only if a known operator computes it from packed tensors and constants.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import onnx
from onnx import NodeProto, helper

from rerank_service.models.variants.fusion import ATTENTION, CONTRIB, attentions

_TOKEN_BY_TOKEN = frozenset(
    (
        *("Add", "BiasGelu", "Div", "Erf", "FastGelu", "Gelu", "LayerNormalization", "MatMul", "Mul", "Relu"),
        *("Sigmoid", "SkipLayerNormalization", "Sub", "Tanh"),
    )
)
PACKED = "PackedAttention"
_KEPT = ("num_heads", "qkv_hidden_sizes", "scale")
"""Attributes of Attention that PackedAttention has as well. It needs no value for masked scores: nothing is masked."""


@dataclass(frozen=True, slots=True)
class PackingResult:
    """The outcome of packing."""

    attentions: int
    """Number of packed attentions; 0: the graph is unchanged."""
    reason: str = ""
    """Why the graph was not packed; empty if it was."""


def pack(model: onnx.ModelProto) -> PackingResult:
    """Pack a graph in place, or leave it unchanged and return the reason."""
    fused = attentions(model)
    reason = _obstacle(model, fused)
    if reason is not None:
        return PackingResult(0, reason)
    walk = _Walk(dict(_ranks(model.graph)), fused[0])
    nodes = [packed for node in model.graph.node for packed in walk.rewrite(node)]
    per_token = sorted(walk.tokens & {output.name for output in model.graph.output})
    if per_token:
        return PackingResult(0, f"the graph returns {per_token[0]} for each token")
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return PackingResult(sum(node.op_type == PACKED for node in nodes))


def _obstacle(model: onnx.ModelProto, fused: list[NodeProto]) -> str | None:
    if not fused:
        return "it has no attention that could be fused"
    if len({node.input[3] if len(node.input) > 3 else "" for node in fused}) > 1:
        return "its attentions have different masks"
    if any(not node.input[2] or len(node.input) < 4 or any(node.input[4:]) for node in fused):
        return "its attention has no bias, no mask, or unsupported inputs"
    if not _counts_tokens(model, fused[0].input[3]):
        return "the mask of its attention is not a number of tokens per row"
    return None


def _ranks(graph: onnx.GraphProto) -> Iterator[tuple[str, int]]:
    """Yield the number of axes of each constant."""
    for tensor in graph.initializer:
        yield tensor.name, len(tensor.dims)
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            yield node.output[0], len(node.attribute[0].t.dims)


def _counts_tokens(model: onnx.ModelProto, mask: str) -> bool:
    """Return whether a mask is one number per row."""
    producer = next((node for node in model.graph.node if mask in node.output), None)
    return producer is not None and producer.op_type == "ReduceSum"


@dataclass(slots=True)
class _Walk:
    """Rewrites the nodes in the order in which they run."""

    ranks: dict[str, int]
    """Number of axes of each constant."""
    first: NodeProto
    """The first attention."""
    tokens: set[str] = field(default_factory=set)
    """Names of the packed tensors."""
    rows: dict[str, str] = field(default_factory=dict)
    """Names of packed tensors, each with the name of its restored tensor."""
    renamed: dict[str, str] = field(default_factory=dict)
    """New names of packed tensors."""

    def rewrite(self, node: NodeProto) -> Iterator[NodeProto]:
        """Yield the nodes that replace a node."""
        if node.output[0] == self.first.output[0]:
            yield self._remove_padding()
        if self._is_packable(node):
            self.tokens.update(node.output)
            yield self._packed_attention(node) if _is_attention(node) else _with_inputs(node, self.renamed)
            return
        for name in dict.fromkeys(node.input):
            if name in self.tokens and name not in self.rows:
                yield self._restore_padding(name)
        yield _with_inputs(node, self.rows)

    def _is_packable(self, node: NodeProto) -> bool:
        """Return whether a node computes each token independently of the rows."""
        if _is_attention(node):
            return node.input[0] in self.tokens
        if node.op_type not in _TOKEN_BY_TOKEN or not any(name in self.tokens for name in node.input):
            return False
        if node.op_type == "MatMul":
            return node.input[0] in self.tokens and self.ranks.get(node.input[1]) == 2
        if node.op_type == "LayerNormalization" and _axis(node) != -1:
            return False
        return all(name in self.tokens or not name or self.ranks.get(name, 2) < 2 for name in node.input)

    def _remove_padding(self) -> NodeProto:
        whole, counts = self.first.input[0], self.first.input[3]
        packed = f"{whole}.tokens"
        self.tokens.add(whole)
        self.renamed[whole] = packed
        self.rows[whole] = whole  # the padded tensor still exists
        outputs = [packed, "packing.offsets", "packing.starts", "packing.longest"]
        return helper.make_node("RemovePadding", [whole, counts], outputs, name="packing.remove", domain=CONTRIB)

    def _packed_attention(self, node: NodeProto) -> NodeProto:
        inputs = [self.renamed.get(node.input[0], node.input[0]), *node.input[1:3], "packing.offsets", "packing.starts"]
        packed = helper.make_node(PACKED, inputs, list(node.output), name=f"{node.name}.packed", domain=CONTRIB)
        packed.attribute.extend(attribute for attribute in node.attribute if attribute.name in _KEPT)
        return packed

    def _restore_padding(self, name: str) -> NodeProto:
        self.rows[name] = f"{name}.rows"
        return helper.make_node(
            "RestorePadding",
            [name, "packing.offsets"],
            [self.rows[name]],
            name=f"{name}.restore",
            domain=CONTRIB,
        )


def _with_inputs(node: NodeProto, renamed: dict[str, str]) -> NodeProto:
    """Return a copy of a node with renamed inputs."""
    copy = NodeProto()
    copy.CopyFrom(node)
    copy.input[:] = [renamed.get(name, name) for name in node.input]
    return copy


def _is_attention(node: NodeProto) -> bool:
    return node.op_type == ATTENTION and node.domain == CONTRIB


def _axis(node: NodeProto) -> int:
    return next((attribute.i for attribute in node.attribute if attribute.name == "axis"), -1)
