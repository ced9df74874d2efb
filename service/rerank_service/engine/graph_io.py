"""The inputs and the output of a graph, and the check that they are those of a cross-encoder.

Exported bundles take int64 and return one float32 logit per pair. Graphs of other tools differ in names and types.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rerank_service.errors import BundleInvalid

_REQUIRED = ("input_ids", "attention_mask")
INPUTS = (*_REQUIRED, "token_type_ids")
_INPUT_TYPES: Mapping[str, type[np.generic]] = {
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(float)": np.float32,
    "tensor(bool)": np.bool_,
}
_LOGIT_TYPES = ("tensor(float)", "tensor(float16)", "tensor(double)", "tensor(bfloat16)")
_LOGITS = "logits"
_MAX_NAMES_SHOWN = 4
"""Maximum number of input names in a message."""


@dataclass(frozen=True, slots=True)
class GraphIO:
    """The interface of a graph."""

    inputs: Mapping[str, type[np.generic]]
    """Input names with their numpy types. Each input has the shape (pairs, tokens)."""
    output: str
    """Name of the output with the logits."""


def read_graph_io(session: Any) -> GraphIO:
    """Return inputs and output of a loaded onnxruntime session.

    Raises:
        BundleInvalid: the graph is not a cross-encoder, or has fixed shapes.
    """
    inputs = session.get_inputs()
    _check_inputs(inputs)
    outputs = session.get_outputs()
    name = logits_name([output.name for output in outputs])
    output = next(output for output in outputs if output.name == name)
    if output.type not in _LOGIT_TYPES:
        raise BundleInvalid(
            f"the graph's output {output.name} has the type {output.type}; logits need one of {', '.join(_LOGIT_TYPES)}"
        )
    _check_output(output.name, output.shape)
    return GraphIO({graph_input.name: _INPUT_TYPES[graph_input.type] for graph_input in inputs}, output.name)


def logits_name(outputs: Sequence[str]) -> str:
    """Return the name of the output with the logits: `logits`, else the first one."""
    return _LOGITS if _LOGITS in outputs else outputs[0]


def _check_inputs(inputs: Sequence[Any]) -> None:
    unsupported = [graph_input.name for graph_input in inputs if graph_input.name not in INPUTS]
    if unsupported:
        shown = ", ".join(unsupported[:_MAX_NAMES_SHOWN]) + (", …" if len(unsupported) > _MAX_NAMES_SHOWN else "")
        raise BundleInvalid(
            f"the graph has unsupported inputs: {shown}; the inputs of a cross-encoder are {', '.join(INPUTS)}"
        )
    names = {graph_input.name for graph_input in inputs}
    if missing := [name for name in _REQUIRED if name not in names]:
        raise BundleInvalid(
            f"the graph lacks the input {' and '.join(missing)}; a cross-encoder needs {' and '.join(_REQUIRED)}, or "
            "the padding of a batch changes its scores: export the model"
        )
    for graph_input in inputs:
        if graph_input.type not in _INPUT_TYPES:
            raise BundleInvalid(
                f"the graph's input {graph_input.name} has the unsupported type {graph_input.type}; "
                f"supported: {', '.join(_INPUT_TYPES)}"
            )
        if any(isinstance(size, int) for size in graph_input.shape):
            raise BundleInvalid(
                f"the graph's input {graph_input.name} has the fixed shape {_shape(graph_input.shape)}: "
                "export the graph with dynamic axes"
            )


def _check_output(name: str, shape: Sequence[int | str]) -> None:
    """Reject vectors, scores of several classes, and outputs with one row per token (three axes)."""
    if len(shape) > 2 and shape[-1] != 1:
        raise BundleInvalid(
            f"the graph's output {name} has the shape {_shape(shape)}, values for each token. It is an embedding model "
            "or a text generator; a cross-encoder returns one logit per pair"
        )
    if len(shape) > 1 and isinstance(shape[-1], int) and shape[-1] > 2:
        raise BundleInvalid(
            f"the graph's output {name} has the shape {_shape(shape)}; a cross-encoder returns one or two logits per "
            "pair"
        )


def _shape(shape: Sequence[int | str]) -> str:
    return f"({', '.join(map(str, shape))})"
