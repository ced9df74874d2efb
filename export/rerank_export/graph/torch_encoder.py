"""A cross-encoder as transformers loads it, and the graph of one with its own code, which optimum does not know."""

from pathlib import Path
from typing import Any

import onnx

from rerank_export.graph.loaded_weights import check_finite, check_loaded
from rerank_export.graph.torch_to_onnx import torch_to_onnx
from rerank_export.source.model_source import ModelSource
from rerank_service.engine.graph_io import INPUTS


def load_encoder(source: ModelSource) -> Any:
    """Load the model in fp32 for inference.

    Raises:
        ExportFailed: weights are missing or not finite.
    """
    import torch
    from transformers import AutoModelForSequenceClassification

    model, loading = AutoModelForSequenceClassification.from_pretrained(
        source.folder, dtype=torch.float32, output_loading_info=True, trust_remote_code=source.trusted
    )
    check_loaded(source, loading)
    check_finite(source, model)
    return model.eval()


def export_encoder(source: ModelSource, path: Path, opset: int) -> onnx.ModelProto:
    """Export a model with its own code, with the weights in the returned object. `path` receives a temporary file."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(source.folder, trust_remote_code=source.trusted)
    names = [name for name in INPUTS if name in tokenizer.model_input_names]
    example = tokenizer(["a query"] * 2, ["a document", "another document"], padding=True, return_tensors="pt")
    scorer = _scorer(load_encoder(source), names)
    return torch_to_onnx(scorer, {name: example[name] for name in names}, path, opset)


def _scorer(model: Any, names: list[str]) -> Any:
    """Return a module that takes its inputs by position: tracing cannot pass them by name."""
    import torch

    class Scorer(torch.nn.Module):  # type: ignore[misc]  # torch is not installed where types are checked
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, *inputs: Any) -> Any:
            return self.model(**dict(zip(names, inputs, strict=True))).logits

    return Scorer().eval()
