"""A decoder as transformers loads it, and its graph: one logit per pair, at the last real token.

optimum exports decoders too, but finds the last token by its id instead of the mask, computes logits for every token
and every word of the vocabulary, and counts positions from the left edge including padding.
"""

from pathlib import Path
from typing import Any

import onnx
from onnx import helper

from rerank_export.graph.loaded_weights import load_model
from rerank_export.graph.passes.shared_prefix import CAUSAL_KEY
from rerank_export.graph.torch_to_onnx import torch_to_onnx
from rerank_export.scoring.model_scoring import Scoring
from rerank_export.source.model_source import ModelSource


def load_decoder(source: ModelSource, scoring: Scoring) -> Any:
    """Load the model in fp32 for inference.

    Raises:
        ExportFailed: weights are missing or not finite.
    """
    from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

    kind = AutoModelForCausalLM if scoring.generative else AutoModelForSequenceClassification
    return load_model(source, kind, attn_implementation="eager")


def export_decoder(source: ModelSource, scoring: Scoring, path: Path, opset: int) -> onnx.ModelProto:
    """Export a decoder, with the weights in the returned object. `path` receives a temporary file.

    The graph takes `input_ids` and `attention_mask` only. It is marked as causal, for the pass that shares prefixes.
    """
    import torch

    example = torch.ones((2, 8), dtype=torch.int64)
    inputs = {"input_ids": example + 1, "attention_mask": example}
    graph = torch_to_onnx(_scorer(load_decoder(source, scoring), scoring), inputs, path, opset)
    helper.set_model_props(graph, {CAUSAL_KEY: "true"})
    return graph


def _scorer(model: Any, scoring: Scoring) -> Any:
    """Return a module that computes the logit of the last real token."""
    import torch

    prepare, head = _head(model, scoring)
    rows = list(scoring.rows)
    weight = head.weight.detach()[rows].T.contiguous()
    bias = None if head.bias is None else head.bias.detach()[rows]
    # transformers scores a classifier at the last token that is not the padding token, also inside a text
    pad_id = None if scoring.generative else model.config.pad_token_id
    cap = getattr(model.config, "final_logit_softcapping", None) if scoring.generative else None
    body = model.model if model.base_model is model else model.base_model  # Gemma 3 names no base model
    masks = _attention_masks(model.config)

    class Scorer(torch.nn.Module):  # type: ignore[misc]  # torch is not installed where types are checked
        def __init__(self) -> None:
            super().__init__()
            self.body, self.prepare = body, prepare
            self.weight = torch.nn.Parameter(weight, requires_grad=False)

        def forward(self, input_ids: Any, attention_mask: Any) -> Any:
            positions = (attention_mask.cumsum(-1) - 1).clamp(min=0)
            hidden = self.body(
                input_ids=input_ids, attention_mask=masks(attention_mask), position_ids=positions, use_cache=False
            ).last_hidden_state
            real = attention_mask if pad_id is None else attention_mask * (input_ids != pad_id)
            last = (real * torch.arange(input_ids.shape[1])).argmax(-1)
            token = hidden.gather(1, last[:, None, None].expand(-1, 1, hidden.shape[-1])).flatten(1)
            logits = self.prepare(token) @ self.weight
            logits = logits if bias is None else logits + bias
            logits = logits if cap is None else torch.tanh(logits / cap) * cap
            return logits if len(rows) == 1 else logits[:, :1] - logits[:, 1:]

    return Scorer().eval()


def _head(model: Any, scoring: Scoring) -> tuple[Any, Any]:
    """Return the module between the body and the head, and the head, which is linear."""
    import torch

    if model.config.model_type == "modernbert-decoder":
        return (model.lm_head, model.decoder) if scoring.generative else (model.head, model.classifier)
    return torch.nn.Identity(), model.get_output_embeddings() if scoring.generative else model.score


def _attention_masks(config: Any) -> Any:
    """Return a function from a padding mask to attention masks, with the values that transformers computes.

    A mask is 0 where a token is visible and the lowest float32 elsewhere. It is computed once for all layers and in
    operations that can be traced, unlike in transformers.
    """
    import torch

    window = getattr(config, "sliding_window", None)
    kinds = set(getattr(config, "layer_types", None) or ())

    def mask(attention_mask: Any, within: int | None) -> Any:
        index = torch.arange(attention_mask.shape[1])
        distance = index[:, None] - index[None, :]
        visible = (distance >= 0) if within is None else (distance >= 0) & (distance < within)
        visible = visible[None, None] & (attention_mask[:, None, None, :] != 0)
        return torch.where(visible, 0.0, torch.finfo(torch.float32).min)

    def masks(attention_mask: Any) -> Any:
        if not kinds:
            return mask(attention_mask, window)
        within = {"full_attention": None, "sliding_attention": window}
        return {kind: mask(attention_mask, within[kind]) for kind in kinds}

    return masks
