"""What a graph takes and gives, and why one is no cross-encoder's.

Rule: our own graphs take int64 and give one float32 a pair; others come from many tools, and differ in names and types.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rerank_service.errors import BundleInvalid

INPUTS = ("input_ids", "attention_mask", "token_type_ids")
_KINDS: Mapping[str, type[np.generic]] = {
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(float)": np.float32,
    "tensor(bool)": np.bool_,
}
_NUMBERS = ("tensor(float)", "tensor(float16)", "tensor(double)", "tensor(bfloat16)")
"""What logits may be given as."""
_LOGITS = "logits"
_SHOWN = 4
"""Names in a message."""


@dataclass(frozen=True, slots=True)
class Ports:
    """A graph's inputs with their types, and the output that holds the logits."""

    inputs: Mapping[str, type[np.generic]]
    output: str


def ports_of(session: Any) -> Ports:
    """Of a loaded onnxruntime session.

    Raises:
        BundleInvalid: it is no cross-encoder that takes any number of pairs of any length.
    """
    inputs = session.get_inputs()
    _check_inputs(inputs)
    outputs = session.get_outputs()
    output = next((one for one in outputs if one.name == _LOGITS), outputs[0])
    if output.type not in _NUMBERS:
        raise BundleInvalid(f"the graph gives {output.name} as {output.type}, which logits are not")
    _check_output(output.name, output.shape)
    return Ports({one.name: _KINDS[one.type] for one in inputs}, output.name)


def _check_inputs(inputs: Sequence[Any]) -> None:
    unknown = [one.name for one in inputs if one.name not in INPUTS]
    if unknown:
        shown = ", ".join(unknown[:_SHOWN]) + (", …" if len(unknown) > _SHOWN else "")
        raise BundleInvalid(f"the graph wants inputs that a cross-encoder has not: {shown}")
    for one in inputs:
        if one.type not in _KINDS:
            raise BundleInvalid(f"the graph wants {one.name} as {one.type}, which token ids are not")
        if any(isinstance(size, int) for size in one.shape):
            raise BundleInvalid(
                f"the graph was made for {one.name} of the shape {_shape(one.shape)} alone: export it with dynamic axes"
            )


def _check_output(name: str, shape: Sequence[int | str]) -> None:
    """A last axis of more than two is a vector or scores of many kinds; three axes are something for each token."""
    if len(shape) > 2 and shape[-1] != 1:
        raise BundleInvalid(
            f"the graph gives {name} of the shape {_shape(shape)}, something for each token, as embedding models and "
            "text generators do: a cross-encoder gives one logit a pair"
        )
    if len(shape) > 1 and isinstance(shape[-1], int) and shape[-1] > 2:
        raise BundleInvalid(
            f"the graph gives {name} of the shape {_shape(shape)}: a cross-encoder gives one logit a pair, or two"
        )


def _shape(shape: Sequence[int | str]) -> str:
    return f"({', '.join(map(str, shape))})"
