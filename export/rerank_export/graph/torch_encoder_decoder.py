"""A text generator with an encoder, such as monoT5, and its graph: one logit per pair, at the first generated token.

The encoder reads the pair. The decoder reads only its start token, so one pass over both gives the score, as in
pygaggle's MonoT5 (https://github.com/castorini/pygaggle, pygaggle/rerank/transformer.py).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnx

from rerank_export.graph.loaded_weights import load_model
from rerank_export.graph.torch_to_onnx import torch_to_onnx
from rerank_export.scoring.model_scoring import Scoring
from rerank_export.source.model_source import ModelSource


def load_encoder_decoder(source: ModelSource) -> Any:
    """Load the model in fp32 for inference.

    Raises:
        ExportFailed: weights are missing or not finite.
    """
    from transformers import AutoModelForSeq2SeqLM

    return load_model(source, AutoModelForSeq2SeqLM)


def start_tokens(model: Any, input_ids: Any) -> Mapping[str, Any]:
    """Return the decoder's input: the start token alone, int64 of shape (batch_size, 1)."""
    import torch

    return {"decoder_input_ids": torch.full_like(input_ids[:, :1], model.config.decoder_start_token_id)}


def export_encoder_decoder(source: ModelSource, scoring: Scoring, path: Path, opset: int) -> onnx.ModelProto:
    """Export a T5-like generator, with the weights in the returned object. `path` receives a temporary file.

    The graph takes `input_ids` and `attention_mask` only.
    """
    import torch

    example = torch.ones((2, 8), dtype=torch.int64)
    inputs = {"input_ids": example + 1, "attention_mask": example}
    return torch_to_onnx(_scorer(load_encoder_decoder(source), scoring), inputs, path, opset)


def _scorer(model: Any, scoring: Scoring) -> Any:
    """Return a module that computes the logits of the answer tokens only."""
    import torch

    rows = list(scoring.rows)
    weight = model.get_output_embeddings().weight.detach()[rows].T.contiguous()
    if model.config.tie_word_embeddings:
        weight = weight * model.model_dim**-0.5  # transformers scales the decoder's output instead

    class Scorer(torch.nn.Module):  # type: ignore[misc]  # torch is not installed where types are checked
        def __init__(self) -> None:
            super().__init__()
            self.encoder, self.decoder = model.encoder, model.decoder
            self.weight = torch.nn.Parameter(weight, requires_grad=False)

        def forward(self, input_ids: Any, attention_mask: Any) -> Any:
            encoded = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
            hidden = self.decoder(
                input_ids=start_tokens(model, input_ids)["decoder_input_ids"],
                encoder_hidden_states=encoded,
                encoder_attention_mask=attention_mask,
                use_cache=False,
            ).last_hidden_state
            logits = hidden[:, 0] @ self.weight
            return logits if len(rows) == 1 else logits[:, :1] - logits[:, 1:]

    return Scorer().eval()
