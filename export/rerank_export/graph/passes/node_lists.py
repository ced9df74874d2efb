"""Operations on lists of nodes: select, sort, replace by constants."""

import heapq
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from rerank_export.graph.passes.shaped_graph import ShapedGraph, reads


def attribute(node: onnx.NodeProto, name: str, default: object) -> Any:
    """Return a node's attribute, or the default if the node does not have it."""
    return next((helper.get_attribute_value(found) for found in node.attribute if found.name == name), default)


def as_constant(graph: ShapedGraph, node: onnx.NodeProto) -> onnx.NodeProto | None:
    """Return a Constant that replaces a node whose output is a known size; None if its output is not known."""
    name = node.output[0]
    if name not in graph.values or node.op_type == "Constant" or len(node.output) != 1:
        return None
    values = np.array(graph.values[name], np.int64).reshape([int(size) for size in graph.shapes[name]])
    return helper.make_node("Constant", [], [name], name=node.name, value=numpy_helper.from_array(values))


def needed_nodes(nodes: Iterable[onnx.NodeProto], tensors: set[str]) -> list[onnx.NodeProto]:
    """Return the nodes that the tensors are computed by, in the given order."""
    nodes = list(nodes)
    makers = {output: node for node in nodes for output in node.output if output}
    pending, kept = list(tensors), set[int]()
    while pending:
        maker = makers.get(pending.pop())
        if maker is not None and id(maker) not in kept:
            kept.add(id(maker))
            pending += reads(maker)
    return [node for node in nodes if id(node) in kept]


def topologically_sorted(nodes: Sequence[onnx.NodeProto]) -> list[onnx.NodeProto]:
    """Return the nodes with each node after the nodes that make its inputs, else in the given order."""
    makers = {output: at for at, node in enumerate(nodes) for output in node.output if output}
    waits = [{makers[name] for name in reads(node) if name in makers} for node in nodes]
    followers: list[list[int]] = [[] for _ in nodes]
    for at, awaited in enumerate(waits):
        for maker in awaited:
            followers[maker].append(at)
    free = [at for at, awaited in enumerate(waits) if not awaited]
    heapq.heapify(free)
    sorted_nodes = []
    while free:
        at = heapq.heappop(free)
        sorted_nodes.append(nodes[at])
        for follower in followers[at]:
            waits[follower].discard(at)
            if not waits[follower]:
                heapq.heappush(free, follower)
    return sorted_nodes


def without_unread_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """Remove the weights that nothing reads from the model, and return it."""
    graph = model.graph
    read = {name for node in graph.node for name in reads(node)} | {output.name for output in graph.output}
    kept = [weight for weight in graph.initializer if weight.name in read]
    del graph.initializer[:]
    graph.initializer.extend(kept)
    return model
