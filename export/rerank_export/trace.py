"""torch's own export, for models that optimum does not export as they are to be."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnx


def trace(module: Any, inputs: Mapping[str, Any], path: Path, opset: int) -> onnx.ModelProto:
    """The graph of a module that takes these inputs by position, of shape (rows, length), and gives logits; its weights
    within."""
    import torch

    path.parent.mkdir(parents=True, exist_ok=True)
    rows, both = {0: "batch_size"}, {0: "batch_size", 1: "sequence_length"}  # as optimum calls them
    with torch.inference_mode():
        torch.onnx.export(
            module,
            tuple(inputs.values()),
            str(path),
            input_names=list(inputs),
            output_names=["logits"],
            dynamic_axes=dict.fromkeys(inputs, both) | {"logits": rows},
            opset_version=opset,
            dynamo=False,
        )
    return onnx.load(path)
