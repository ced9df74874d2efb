"""Computation of a graph's last layer for one token only. first_token.py and last_token.py say which token.

A classifier that reads one token needs only that token from the last layer's attention, feed-forward and norms; keys
and values are needed for all tokens. So the selection of the token moves up through every operator that works token by
token, into the query side of the attention, until it meets a tensor that is needed for all tokens. Nothing is
approximated: the same numbers are computed for fewer rows.

Rule 1: the output of an operator without a rule is computed whole and cut. That is always correct, but saves nothing.
Rule 2: nodes are visited in reverse topological order, so a visited tensor is already known to be needed whole or not.
"""

import heapq
from dataclasses import dataclass

import onnx

from rerank_export.graph.passes.cut_rules import RULES
from rerank_export.graph.passes.node_lists import (
    as_constant,
    needed_nodes,
    topologically_sorted,
    without_unread_weights,
)
from rerank_export.graph.passes.shaped_graph import ShapedGraph, reads
from rerank_export.graph.passes.token_cut import Token, TokenCut


@dataclass(frozen=True, slots=True)
class Shortened:
    """The result of the pass."""

    model: onnx.ModelProto
    matmuls: int
    """Matrix products with weights that are now computed for one token; 0: the graph is unchanged."""
    reason: str = ""
    """Why the graph is unchanged."""


def shorten(graph: ShapedGraph, token: Token, pick: onnx.NodeProto) -> Shortened:
    """Compute the input of the node `pick`, of shape (rows, tokens, width), only for the token that it selects."""
    cut = TokenCut(graph, token)
    name = cut.request(pick.input[0], axis=1)
    while cut.pending:
        _, tensor = heapq.heappop(cut.pending)
        _make_cut(cut, tensor)
    if not cut.matmuls:
        return Shortened(graph.model, 0, "no operator before the classifier works token by token")
    return Shortened(_rewired(cut, pick, token.picked(pick, name)), cut.matmuls)


def readers(graph: ShapedGraph, tensor: str) -> list[onnx.NodeProto]:
    """Return the nodes that read a tensor's numbers, not only its shape."""
    return [node for node in graph.model.graph.node if tensor in reads(node) and node.op_type != "Shape"]


def _make_cut(cut: TokenCut, tensor: str) -> None:
    """Make a cut tensor: by its own operator on cut operands, or by cutting the whole tensor."""
    axis = cut.axes[tensor]
    node = cut.graph.node(tensor)
    rule = None if node is None or tensor in cut.whole else RULES.get(node.op_type)
    made = rule(cut, node, axis) if rule and node and len(node.output) == 1 else None
    if made is None:
        cut.cut_whole(tensor, axis)
        return
    made.name = f"{tensor}.one.{made.op_type}"
    cut.made.append((cut.graph.producers[tensor], made))


def _rewired(cut: TokenCut, pick: onnx.NodeProto, picked: onnx.NodeProto) -> onnx.ModelProto:
    """Return the graph with the new nodes, and without nodes that nothing reads any more."""
    model = onnx.ModelProto()
    model.CopyFrom(cut.graph.model)
    graph = model.graph
    followers: dict[int, list[onnx.NodeProto]] = {}
    for index, node in cut.made:
        followers.setdefault(index, []).append(node)
    nodes = list(followers.get(-1, []))
    for index, node in enumerate(graph.node):
        old = picked if node.output[0] == pick.output[0] else as_constant(cut.graph, node) or node
        nodes += [old, *followers.get(index, [])]
    kept = topologically_sorted(needed_nodes(nodes, {output.name for output in graph.output}))
    del graph.node[:], graph.value_info[:]
    graph.node.extend(kept)
    graph.initializer.extend(cut.constants)
    return without_unread_weights(model)
