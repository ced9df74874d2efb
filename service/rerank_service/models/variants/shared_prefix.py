"""Graphs of decoders that compute equal beginnings of rows once (rerank_export/graph/passes/shared_prefix.py).

They find the tokens to compute while they run. CUDA graphs need sizes that depend on the shapes of the inputs only, so
there the same graph computes every token.
"""

import numpy as np
import onnx
from onnx import helper, numpy_helper

KEPT = "shared_prefix.kept"
"""Tensor with the tokens to compute, as positions in the flat batch; int64 of shape (kept,)."""
PLACES = "shared_prefix.places"
"""Tensor with the place of each token among the kept ones; int64 of shape (rows, tokens). Padding has any place."""
SIZES = "shared_prefix.sizes"
"""Tensor with the number of rows and of tokens; int64 of shape (2,)."""
_BOUNDS = ("every.zero", "every.one")


def shares_prefixes(model: onnx.ModelProto) -> bool:
    """Return whether a graph computes equal beginnings of rows once."""
    return any(KEPT in node.output for node in model.graph.node)


def compute_every_token(model: onnx.ModelProto) -> None:
    """Let a graph compute every token of every row, in place. Other graphs are unchanged."""
    if not shares_prefixes(model):
        return
    graph = model.graph
    zero, one = (f"shared_prefix.{name}" for name in _BOUNDS)
    graph.initializer.extend(
        numpy_helper.from_array(np.array(value, np.int64), name) for name, value in ((zero, 0), (one, 1))
    )
    count = "shared_prefix.every.count"
    nodes = [
        helper.make_node("ReduceProd", [SIZES], [count], name=count, keepdims=0),
        helper.make_node("Range", [zero, count, one], [KEPT], name=KEPT),
        helper.make_node("Reshape", [KEPT, SIZES], [PLACES], name=PLACES),
    ]
    replaced = [node for node in graph.node if not {KEPT, PLACES} & {*node.output}]
    at = next(index for index, node in enumerate(replaced) if SIZES in node.output) + 1
    del graph.node[:]
    graph.node.extend([*replaced[:at], *nodes, *replaced[at:]])
