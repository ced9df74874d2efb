"""A cross-encoder as transformers has it, and its graph where optimum does not know its kind: with code of its own."""

from pathlib import Path
from typing import Any

import onnx

from rerank_export.source import Source, check_finite, check_loaded
from rerank_export.trace import trace
from rerank_service.engine.graph_io import INPUTS


def load_encoder(source: Source) -> Any:
    """The model in fp32.

    Raises:
        ExportFailed: its files lack some of its weights.
    """
    import torch
    from transformers import AutoModelForSequenceClassification

    model, loading = AutoModelForSequenceClassification.from_pretrained(
        source.folder, dtype=torch.float32, output_loading_info=True, trust_remote_code=source.trusted
    )
    check_loaded(source, loading)
    check_finite(source, model)
    return model.eval()


def export_encoder(source: Source, path: Path, opset: int) -> onnx.ModelProto:
    """The graph of a model with code of its own, its weights within."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(source.folder, trust_remote_code=source.trusted)
    names = [name for name in INPUTS if name in tokenizer.model_input_names]
    example = tokenizer(["a query"] * 2, ["a document", "another document"], padding=True, return_tensors="pt")
    scorer = _scorer(load_encoder(source), names)
    return trace(scorer, {name: example[name] for name in names}, path, opset)


def _scorer(model: Any, names: list[str]) -> Any:
    """A module that takes its inputs by position, which is all that tracing can name."""
    import torch

    class Scorer(torch.nn.Module):  # type: ignore[misc]  # torch is not there where types are checked
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, *inputs: Any) -> Any:
            return self.model(**dict(zip(names, inputs, strict=True))).logits

    return Scorer().eval()
