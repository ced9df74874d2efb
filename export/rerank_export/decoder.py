"""A decoder as a scorer: one logit a pair, of the last real token, from input_ids and attention_mask alone.

optimum exports these models too, but picks the last token by its id and not by the mask, keeps a logit for every token
and every word, and numbers positions from the left edge, padding or not.
"""

from pathlib import Path
from typing import Any

import onnx

from rerank_export.scoring import Scoring
from rerank_export.source import Source, check_finite, check_loaded
from rerank_export.trace import trace


def load_decoder(source: Source, scoring: Scoring) -> Any:
    """The model as transformers has it, in fp32.

    Raises:
        ExportFailed: its files lack some of its weights.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

    kind = AutoModelForCausalLM if scoring.generative else AutoModelForSequenceClassification
    model, loading = kind.from_pretrained(
        source.folder,
        dtype=torch.float32,
        attn_implementation="eager",
        output_loading_info=True,
        trust_remote_code=source.trusted,
    )
    check_loaded(source, loading)
    check_finite(source, model)
    return model.eval()


def export_decoder(source: Source, scoring: Scoring, path: Path, opset: int) -> onnx.ModelProto:
    """The graph of a decoder's one logit, its weights within."""
    import torch

    example = torch.ones((2, 8), dtype=torch.int64)
    inputs = {"input_ids": example + 1, "attention_mask": example}
    return trace(_scorer(load_decoder(source, scoring), scoring), inputs, path, opset)


def _scorer(model: Any, scoring: Scoring) -> Any:
    """A module that gives the logit of the last real token."""
    import torch

    head = model.get_output_embeddings() if scoring.generative else model.score
    rows = list(scoring.rows)
    weight = head.weight.detach()[rows].T.contiguous()
    bias = None if head.bias is None else head.bias.detach()[rows]
    # a classifier's last token is, in training too, the last that is not the padding's
    pad_id = None if scoring.generative else model.config.pad_token_id
    cap = getattr(model.config, "final_logit_softcapping", None) if scoring.generative else None
    body, masks = model.base_model, _masks(model.config)

    class Scorer(torch.nn.Module):  # type: ignore[misc]  # torch is not there where types are checked
        def __init__(self) -> None:
            super().__init__()
            self.body = body
            self.weight = torch.nn.Parameter(weight, requires_grad=False)

        def forward(self, input_ids: Any, attention_mask: Any) -> Any:
            positions = (attention_mask.cumsum(-1) - 1).clamp(min=0)
            hidden = self.body(
                input_ids=input_ids, attention_mask=masks(attention_mask), position_ids=positions, use_cache=False
            ).last_hidden_state
            real = attention_mask if pad_id is None else attention_mask * (input_ids != pad_id)
            last = (real * torch.arange(input_ids.shape[1])).argmax(-1)
            token = hidden.gather(1, last[:, None, None].expand(-1, 1, hidden.shape[-1])).flatten(1)
            logits = token @ self.weight
            logits = logits if bias is None else logits + bias
            logits = logits if cap is None else torch.tanh(logits / cap) * cap
            return logits if len(rows) == 1 else logits[:, :1] - logits[:, 1:]

    return Scorer().eval()


def _masks(config: Any) -> Any:
    """What makes the attention's masks of a padding mask: what transformers would make, in a form that is traced well
    and made once. 0 where a token is seen, the lowest number where it is not."""
    import torch

    window = getattr(config, "sliding_window", None)
    kinds = set(getattr(config, "layer_types", None) or ())

    def seen(attention_mask: Any, within: int | None) -> Any:
        places = torch.arange(attention_mask.shape[1])
        behind = places[:, None] - places[None, :]
        visible = (behind >= 0) if within is None else (behind >= 0) & (behind < within)
        visible = visible[None, None] & (attention_mask[:, None, None, :] != 0)
        return torch.where(visible, 0.0, torch.finfo(torch.float32).min)

    def masks(attention_mask: Any) -> Any:
        if not kinds:
            return seen(attention_mask, window)
        within = {"full_attention": None, "sliding_attention": window}
        return {kind: seen(attention_mask, within[kind]) for kind in kinds}

    return masks
