"""Read the precision of a graph from its nodes and weights, whatever its file is called."""

import math
from collections import Counter
from typing import TYPE_CHECKING

from rerank_service.models.graph_nodes import BITS, all_nodes, type_name

if TYPE_CHECKING:
    import onnx

_QUANTIZED = frozenset(
    {
        "ConvInteger",
        "DequantizeBFP",
        "DequantizeLinear",
        "DynamicQuantizeLSTM",
        "DynamicQuantizeLinear",
        "DynamicQuantizeMatMul",
        "GatherBlockQuantized",
        "MatMulBnb4",
        "MatMulFpQ4",
        "MatMulInteger",
        "MatMulInteger16",
        "MatMulIntegerToFloat",
        "MatMulNBits",
        "MatMulNBitsMlp",
        "QAttention",
        "QEmbedLayerNormalization",
        "QGemm",
        "QMoE",
        "QuantizeBFP",
        "QuantizeLinear",
    }
)
"""Operators of ONNX and of onnxruntime that work with quantized numbers."""
_QUANTIZED_PREFIXES = ("QLinear", "QOrdered")
_BITS = {"GatherBlockQuantized": 4, "MatMulBnb4": 4, "MatMulFpQ4": 4, "MatMulNBits": 4, "MatMulNBitsMlp": 4}
"""Bits of a weight of these operators, unless their attribute `bits` has another number. Others: see `_node_bits`."""
_FLOATS = {"FLOAT": "fp32", "DOUBLE": "fp32", "FLOAT16": "fp16", "BFLOAT16": "bf16"}


def precisions(model: "onnx.ModelProto") -> tuple[str, str]:
    """Return the precision of the computation on a CPU, and that of the stored weights.

    A quantized graph has the smallest of its numbers of bits: int8, int4 or int2. A graph with weights in 16 bits is
    computed in fp32.
    """
    types = dict(_weight_types(model))
    bits = [found for node in all_nodes(model) if (found := _node_bits(node, types)) is not None]
    if bits:
        quantized = f"int{next(size for size in (2, 4, 8) if min(bits) <= size)}"
        return quantized, quantized
    counts: Counter[str] = Counter()
    for tensor in model.graph.initializer:
        if kind := _FLOATS.get(type_name(tensor.data_type)):
            counts[kind] += math.prod(tensor.dims)
    ((weights, _),) = counts.most_common(1) or [("fp32", 0)]
    return "fp32", weights


def _node_bits(node: "onnx.NodeProto", types: dict[str, str]) -> int | None:
    """Return the bits of the numbers that a quantized node works with, at most 8; None for other nodes."""
    if node.op_type not in _QUANTIZED and not node.op_type.startswith(_QUANTIZED_PREFIXES):
        return None
    if node.op_type in _BITS:
        stated = (attribute.i for attribute in node.attribute if attribute.name == "bits")
        return min(8, next(stated, _BITS[node.op_type]))
    return min((8, *(BITS.get(types.get(name, ""), 8) for name in node.input if name)))


def _weight_types(model: "onnx.ModelProto") -> "list[tuple[str, str]]":
    """Return the names and types of the constants of a graph."""
    found = [(tensor.name, type_name(tensor.data_type)) for tensor in model.graph.initializer]
    for node in model.graph.node:
        if node.op_type == "Constant":
            found += [(node.output[0], type_name(each.t.data_type)) for each in node.attribute if each.HasField("t")]
    return found
