"""What passes do with lists of nodes."""

import heapq
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from rerank_export.passes.shapes import ShapedGraph, reads


def attribute(node: onnx.NodeProto, name: str, default: object) -> Any:
    """A node's attribute, or what holds where it has none."""
    return next((helper.get_attribute_value(one) for one in node.attribute if one.name == name), default)


def known(graph: ShapedGraph, node: onnx.NodeProto) -> onnx.NodeProto | None:
    """A constant for a node that gives a known size, so that no tensor is computed only for its shape."""
    name = node.output[0]
    if name not in graph.values or node.op_type == "Constant" or len(node.output) != 1:
        return None
    values = np.array(graph.values[name], np.int64).reshape([int(size) for size in graph.shapes[name]])
    return helper.make_node("Constant", [], [name], name=node.name, value=numpy_helper.from_array(values))


def needed(nodes: Iterable[onnx.NodeProto], wanted: set[str]) -> list[onnx.NodeProto]:
    """Nodes that tensors are made by, in their order."""
    nodes = list(nodes)
    makers = {output: node for node in nodes for output in node.output if output}
    pending, kept = list(wanted), set[int]()
    while pending:
        maker = makers.get(pending.pop())
        if maker is not None and id(maker) not in kept:
            kept.add(id(maker))
            pending += reads(maker)
    return [node for node in nodes if id(node) in kept]


def ordered(nodes: Sequence[onnx.NodeProto]) -> list[onnx.NodeProto]:
    """Each node behind those that make what it reads; else in the order that they have."""
    makers = {output: at for at, node in enumerate(nodes) for output in node.output if output}
    waits = [{makers[name] for name in reads(node) if name in makers} for node in nodes]
    followers: list[list[int]] = [[] for _ in nodes]
    for at, makes in enumerate(waits):
        for maker in makes:
            followers[maker].append(at)
    free = [at for at, makes in enumerate(waits) if not makes]
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


def dropped_unread(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model without weights that nobody reads."""
    graph = model.graph
    read = {name for node in graph.node for name in reads(node)} | {output.name for output in graph.output}
    kept = [one for one in graph.initializer if one.name in read]
    del graph.initializer[:]
    graph.initializer.extend(kept)
    return model
