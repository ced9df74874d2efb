"""A cross-encoder as transformers loads it, and its graph by torch, for models that optimum cannot export."""

import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnx

from rerank_export.graph.deberta_attention import simplify_deberta
from rerank_export.graph.loaded_weights import load_model
from rerank_export.graph.longformer_attention import unchunk_attention
from rerank_export.graph.modernbert_attention import simplify_modernbert
from rerank_export.graph.torch_to_onnx import torch_to_onnx
from rerank_export.source.model_source import ModelSource
from rerank_service.engine.graph_io import INPUTS


def load_encoder(source: ModelSource) -> Any:
    """Load the model in fp32 for inference.

    Raises:
        ExportFailed: weights are missing or not finite.
    """
    from transformers import AutoModelForSequenceClassification

    return load_model(source, AutoModelForSequenceClassification)


def input_names(model: Any, tokenizer: Any) -> tuple[str, ...]:
    """Return the names of the inputs that the tokenizer makes and the model takes."""
    taken = inspect.signature(model.forward).parameters
    return tuple(name for name in INPUTS if name in tokenizer.model_input_names and name in taken)


def has_fitting_inputs(source: ModelSource, inputs: set[str]) -> bool:
    """Return whether a graph of a class of transformers has the inputs to score like the model: all that it needs, and
    no others. The server would fill others by the tokenizer, where transformers leaves zeros."""
    from transformers import AutoConfig, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(source.folder, trust_remote_code=source.trusted)
    config = AutoConfig.from_pretrained(source.folder, trust_remote_code=source.trusted)
    names, types = set(tokenizer.model_input_names), getattr(config, "type_vocab_size", None) or 1
    always = {"input_ids", "attention_mask"}
    needed = always | ({"token_type_ids"} & names if types > 1 else set())
    return needed <= inputs <= (always | names) & set(INPUTS)


def export_encoder(source: ModelSource, path: Path, opset: int) -> onnx.ModelProto:
    """Export a model with its own forward function, with the weights in the returned object.

    `path` receives a temporary file.
    """
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(source.folder, trust_remote_code=source.trusted)
    model = load_encoder(source)
    unchunk_attention(model)
    simplify_deberta(model)
    simplify_modernbert(model)
    names = input_names(model, tokenizer)
    example = tokenizer(["a query"] * 2, ["a document", "another document"], padding=True, return_tensors="pt")
    return torch_to_onnx(_scorer(model, names), {name: example[name] for name in names}, path, opset)


def _scorer(model: Any, names: Sequence[str]) -> Any:
    """Return a module that takes its inputs by position: tracing cannot pass them by name."""
    import torch

    class Scorer(torch.nn.Module):  # type: ignore[misc]  # torch is not installed where types are checked
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, *inputs: Any) -> Any:
            return self.model(**dict(zip(names, inputs, strict=True))).logits

    return Scorer().eval()
