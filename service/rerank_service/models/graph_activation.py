"""Find the activation at the end of a graph, by a walk from its output to the logits."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rerank_service.engine.graph_io import logits_name
from rerank_service.engine.logits import GraphActivation

if TYPE_CHECKING:
    import onnx

_UNCHANGED = frozenset(
    {
        "Cast",
        "CastLike",
        "Clip",
        "DequantizeLinear",
        "Dropout",
        "Flatten",
        "Identity",
        "QuantizeLinear",
        "Reshape",
        "Squeeze",
        "Transpose",
        "Unsqueeze",
    }
)
"""Operators whose output has the values of their first input."""
_CHOOSING = frozenset({"Gather", "GatherElements", "GatherND", "Slice", "Split"})
"""Operators whose output has some of the values of their first input."""
_SIGMOIDS = frozenset({"QLinearSigmoid", "Sigmoid"})
_SOFTMAXES = frozenset({"BiasSoftmax", "LogSoftmax", "QLinearSoftmax", "Softmax"})


@dataclass(frozen=True, slots=True)
class Ending:
    """The activation at the end of a graph."""

    activation: GraphActivation | None
    """None: the graph returns logits, or values of a form that is not known."""
    chooses: bool = False
    """True if the graph returns only some of the values of the activation."""
    nodes: tuple[str, ...] = ()
    """Names of the nodes from the output to the activation; empty without one."""


def ending(model: "onnx.ModelProto") -> Ending:
    """Return the activation that leads to the output with the scores."""
    graph = _without_functions(model).graph
    producers = {name: node for node in graph.node for name in node.output}
    name = logits_name([output.name for output in graph.output])
    logarithms, chooses, nodes = 0, False, list[str]()
    while (node := producers.pop(name, None)) is not None:  # pop: a damaged graph may have a cycle
        kind = node.op_type
        nodes.append(node.name)
        if kind in _SIGMOIDS or kind in _SOFTMAXES:
            logarithms += kind == "LogSoftmax"
            return Ending(_activation(softmax=kind in _SOFTMAXES, logarithms=logarithms), chooses, tuple(nodes))
        if kind in ("Log", "Exp"):
            logarithms += 1 if kind == "Log" else -1
        elif kind in _CHOOSING:
            chooses = True
        elif kind not in _UNCHANGED:
            break
        if not node.input:
            break
        name = node.input[0]
    return Ending(None)


def _activation(*, softmax: bool, logarithms: int) -> GraphActivation | None:
    if logarithms == 0:
        return GraphActivation.SOFTMAX if softmax else GraphActivation.SIGMOID
    if logarithms == 1:
        return GraphActivation.LOG_SOFTMAX if softmax else GraphActivation.LOG_SIGMOID
    return None


def _without_functions(model: "onnx.ModelProto") -> "onnx.ModelProto":
    """Return the graph with the nodes of the functions that its file defines, as torch's newer exporter writes them."""
    if not model.functions:
        return model
    from onnx.inliner import inline_local_functions

    return inline_local_functions(model)
