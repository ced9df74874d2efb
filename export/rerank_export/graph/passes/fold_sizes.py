"""The pass that replaces known sizes by constants and removes operators that nothing needs."""

import onnx

from rerank_export.graph.passes.node_lists import (
    as_constant,
    needed_nodes,
    topologically_sorted,
    without_unread_weights,
)
from rerank_export.graph.passes.shaped_graph import infer_shapes


def fold_sizes(model: onnx.ModelProto) -> tuple[onnx.ModelProto, int]:
    """Return the graph without operators that compute a known size or nothing, and how many were removed."""
    graph = infer_shapes(model)
    cleaned = onnx.ModelProto()
    cleaned.CopyFrom(graph.model)
    nodes = [as_constant(graph, node) or node for node in cleaned.graph.node]
    outputs = {output.name for output in cleaned.graph.output}
    kept = topologically_sorted(needed_nodes(_without_identities(nodes, outputs), outputs))
    del cleaned.graph.node[:], cleaned.graph.value_info[:]
    cleaned.graph.node.extend(kept)
    _keep_used_opsets(cleaned)
    return without_unread_weights(cleaned), _operators(model) - _operators(cleaned)


def _operators(model: onnx.ModelProto) -> int:
    return sum(node.op_type != "Constant" for node in model.graph.node)


def _without_identities(nodes: list[onnx.NodeProto], outputs: set[str]) -> list[onnx.NodeProto]:
    """Let the readers of an Identity read its input. A graph with branches stays unchanged: they could read it too."""
    if any(attribute.HasField("g") or attribute.graphs for node in nodes for attribute in node.attribute):
        return nodes
    sources = {
        node.output[0]: node.input[0] for node in nodes if node.op_type == "Identity" and node.output[0] not in outputs
    }

    def source(name: str) -> str:
        while name in sources:
            name = sources[name]
        return name

    kept = [node for node in nodes if node.output[0] not in sources]
    for node in kept:
        node.input[:] = [source(name) for name in node.input]
    return kept


def _keep_used_opsets(model: onnx.ModelProto) -> None:
    """Name only the operator sets in use: a runtime may refuse an unknown set even if it is unused."""
    used = {node.domain for node in model.graph.node} | {""}
    kept = {opset.domain: opset.version for opset in model.opset_import if opset.domain in used}
    del model.opset_import[:]
    for domain, version in kept.items():
        model.opset_import.add(domain=domain, version=version)
