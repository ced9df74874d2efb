"""Clean-up: sizes that the shapes alone decide become constants, and what nobody needs goes."""

import onnx

from rerank_export.passes.nodes import dropped_unread, known, needed, ordered
from rerank_export.passes.shapes import shaped


def fold_sizes(model: onnx.ModelProto) -> tuple[onnx.ModelProto, int]:
    """The graph without nodes that compute what is known, or nothing; and how many those are."""
    graph = shaped(model)
    cleaned = onnx.ModelProto()
    cleaned.CopyFrom(graph.model)
    nodes = [known(graph, node) or node for node in cleaned.graph.node]
    outputs = {output.name for output in cleaned.graph.output}
    kept = ordered(needed(_without_identities(nodes, outputs), outputs))
    del cleaned.graph.node[:], cleaned.graph.value_info[:]
    cleaned.graph.node.extend(kept)
    _keep_used_opsets(cleaned)
    return dropped_unread(cleaned), _computing(model) - _computing(cleaned)


def _computing(model: onnx.ModelProto) -> int:
    return sum(node.op_type != "Constant" for node in model.graph.node)


def _without_identities(nodes: list[onnx.NodeProto], outputs: set[str]) -> list[onnx.NodeProto]:
    """Readers of an Identity read what it reads; not where branches could read it too."""
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
    """Only the sets of operators that are used: a runtime may refuse one that it does not know, used or not."""
    used = {node.domain for node in model.graph.node} | {""}
    kept = {one.domain: one.version for one in model.opset_import if one.domain in used}
    del model.opset_import[:]
    for domain, version in kept.items():
        model.opset_import.add(domain=domain, version=version)
