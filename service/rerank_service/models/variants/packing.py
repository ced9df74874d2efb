"""Padding taken out of a graph: rows laid end to end as tokens, from the first fused attention to what reads rows.

    RemovePadding      (rows, length, width) and the tokens of each row -> (tokens, width) and where each came from
    PackedAttention    attention within each row
    RestorePadding     (tokens, width) -> (rows, length, width), zeros for padding

All three have CUDA kernels only. `onnxruntime.transformers` packs too, but up to the last norm of the graph; ours end
with a layer that computes its first token only, and there the last norm has one token a row. So what is packed is
found by following it: through operators that work token by token, and restored for any other.

Rule: a tensor is packed only if it is computed from packed ones and constants by an operator of which that is known.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import onnx
from onnx import NodeProto, helper

from rerank_service.models.variants.fused import ATTENTION, CONTRIB, attentions

_TOKEN_BY_TOKEN = frozenset(
    (
        *("Add", "BiasGelu", "Div", "Erf", "FastGelu", "Gelu", "LayerNormalization", "MatMul", "Mul", "Relu"),
        *("Sigmoid", "SkipLayerNormalization", "Sub", "Tanh"),
    )
)
PACKED = "PackedAttention"
_KEPT = ("num_heads", "qkv_hidden_sizes", "scale")
"""Attributes of Attention that PackedAttention has too. It needs no value for masked scores: nothing is masked."""


@dataclass(frozen=True, slots=True)
class Packed:
    """What packing did."""

    attentions: int
    """Those that are packed now; 0: the graph is as it was."""
    reason: str = ""
    """Why nothing was done."""


def pack(model: onnx.ModelProto) -> Packed:
    """Take padding out, in place, between the first fused attention and what reads rows."""
    found = attentions(model)
    reason = _obstacle(model, found)
    if reason is not None:
        return Packed(0, reason)
    walk = _Walk(dict(_ranks(model.graph)), found[0])
    nodes = [made for node in model.graph.node for made in walk.node(node)]
    rows = sorted(walk.tokens & {output.name for output in model.graph.output})
    if rows:
        return Packed(0, f"the graph gives {rows[0]} for each token")
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return Packed(sum(node.op_type == PACKED for node in nodes))


def _obstacle(model: onnx.ModelProto, found: list[NodeProto]) -> str | None:
    if not found:
        return "it has no attention of a form that is known"
    if len({node.input[3] if len(node.input) > 3 else "" for node in found}) > 1:
        return "its attentions have different masks"
    if any(not node.input[2] or len(node.input) < 4 or any(node.input[4:]) for node in found):
        return "its attention has no bias, no mask, or more inputs than can be packed"
    if not _counts_tokens(model, found[0].input[3]):
        return "its attention has a mask that is not a number of tokens"
    return None


def _ranks(graph: onnx.GraphProto) -> Iterator[tuple[str, int]]:
    """Axes of each constant."""
    for tensor in graph.initializer:
        yield tensor.name, len(tensor.dims)
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            yield node.output[0], len(node.attribute[0].t.dims)


def _counts_tokens(model: onnx.ModelProto, mask: str) -> bool:
    """Whether a mask is one number a row."""
    maker = next((node for node in model.graph.node if mask in node.output), None)
    return maker is not None and maker.op_type == "ReduceSum"


@dataclass(slots=True)
class _Walk:
    """Nodes met in the order in which they run. `tokens` are the tensors without padding."""

    ranks: dict[str, int]
    """Axes of each constant."""
    first: NodeProto
    tokens: set[str] = field(default_factory=set)
    rows: dict[str, str] = field(default_factory=dict)
    """Names of tensors that have got their padding back."""
    renamed: dict[str, str] = field(default_factory=dict)

    def node(self, node: NodeProto) -> Iterator[NodeProto]:
        """What stands in a node's place."""
        if node.output[0] == self.first.output[0]:
            yield self._remove_padding()
        if self._is_packable(node):
            self.tokens.update(node.output)
            yield self._packed_attention(node) if _is_attention(node) else _reading(node, self.renamed)
            return
        for name in dict.fromkeys(node.input):
            if name in self.tokens and name not in self.rows:
                yield self._restore_padding(name)
        yield _reading(node, self.rows)

    def _is_packable(self, node: NodeProto) -> bool:
        """Whether a node gives the same for a token, whatever rows there are."""
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
        self.rows[whole] = whole  # it is still there
        outputs = [packed, "packing.offsets", "packing.starts", "packing.longest"]
        return helper.make_node("RemovePadding", [whole, counts], outputs, name="packing.remove", domain=CONTRIB)

    def _packed_attention(self, node: NodeProto) -> NodeProto:
        inputs = [self.renamed.get(node.input[0], node.input[0]), *node.input[1:3], "packing.offsets", "packing.starts"]
        made = helper.make_node(PACKED, inputs, list(node.output), name=f"{node.name}.packed", domain=CONTRIB)
        made.attribute.extend(one for one in node.attribute if one.name in _KEPT)
        return made

    def _restore_padding(self, name: str) -> NodeProto:
        self.rows[name] = f"{name}.rows"
        return helper.make_node(
            "RestorePadding",
            [name, "packing.offsets"],
            [self.rows[name]],
            name=f"{name}.restore",
            domain=CONTRIB,
        )


def _reading(node: NodeProto, renamed: dict[str, str]) -> NodeProto:
    """A node on other operands; the one given stays as it is."""
    copy = NodeProto()
    copy.CopyFrom(node)
    copy.input[:] = [renamed.get(name, name) for name in node.input]
    return copy


def _is_attention(node: NodeProto) -> bool:
    return node.op_type == ATTENTION and node.domain == CONTRIB


def _axis(node: NodeProto) -> int:
    return next((one.i for one in node.attribute if one.name == "axis"), -1)
