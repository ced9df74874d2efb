"""ONNX export by torch, for models that optimum does not export in the form needed here."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnx

from rerank_export.graph.traced_operators import traceable_operators


def torch_to_onnx(module: Any, inputs: Mapping[str, Any], path: Path, opset: int) -> onnx.ModelProto:
    """Trace a torch module to a graph, with the weights in the returned object. `path` receives a temporary file.

    The module takes `inputs` by position, each int64 of shape (batch_size, sequence_length), and returns logits.
    """
    import torch

    path.parent.mkdir(parents=True, exist_ok=True)
    rows, both = {0: "batch_size"}, {0: "batch_size", 1: "sequence_length"}  # the names that optimum uses
    with torch.inference_mode(), traceable_operators():
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
