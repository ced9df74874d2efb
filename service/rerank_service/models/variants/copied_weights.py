"""Count the weights that onnxruntime's CPU provider copies to memory.

Weights inside a graph file are copied with it. A file of weights beside the graph is mapped: the kernel can drop its
pages. Only weights that onnxruntime rewrites are copied: those of products, which it packs, and those that a `Cast`
converts. The table of token embeddings stays mapped, unless it is cast.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from rerank_service.models.graph_nodes import load_graph
from rerank_service.models.variants.external_weights import place

if TYPE_CHECKING:
    import onnx

_COPIED_BY = ("MatMul", "Gemm", "Cast")
_WEIGHTS_INSIDE = 64 * 2**20
"""A graph file of more bytes contains its weights. It is not read."""


def copied_weight_bytes(graph: Path) -> int:
    """Return a lower bound of the bytes that the weights of a graph fill, whatever the memory limit is."""
    size = graph.stat().st_size
    if size > _WEIGHTS_INSIDE:
        return size
    loaded = load_graph(graph).graph
    inputs = {name for node in loaded.node if node.op_type in _COPIED_BY for name in node.input}
    return max(size, sum(_external_bytes(tensor, graph) for tensor in loaded.initializer if tensor.name in inputs))


def _external_bytes(tensor: "onnx.TensorProto", graph: Path) -> int:
    """Return the length of a tensor in a file beside the graph; 0 if it is not there, or if the length is not known."""
    from onnx.external_data_helper import uses_external_data

    return place(tensor, graph)[2] if uses_external_data(tensor) else 0
