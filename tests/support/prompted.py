"""Small random rerankers that need a prompt: decoders of many types, and one with NVIDIA's class as its own code."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from support.decoders import tokenizer, write_decoder

NEMOTRON = "LlamaBidirectionalForSequenceClassification"
BEGIN = "<|begin_of_text|>"
NEMOTRON_CODE = f"""
import torch
from transformers import LlamaConfig, LlamaModel, LlamaPreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput


class LlamaBidirectionalConfig(LlamaConfig):
    model_type = "llama_bidirec"


class {NEMOTRON}(LlamaPreTrainedModel):
    config_class = LlamaBidirectionalConfig

    def __init__(self, config):
        super().__init__(config)
        self.model = LlamaModel(config)
        self.score = torch.nn.Linear(config.hidden_size, config.num_labels, bias=False)
        self.post_init()

    def forward(self, input_ids, attention_mask, **ignored):
        hidden_by = torch.finfo(torch.float32).min
        mask = (1.0 - attention_mask[:, None, None, :].float()) * hidden_by
        mask = mask.expand(-1, 1, input_ids.shape[1], -1)
        states = self.model(input_ids, attention_mask=mask, use_cache=False).last_hidden_state
        real = attention_mask[..., None].float()
        return SequenceClassifierOutput(logits=self.score((states * real).sum(1) / real.sum(1)))
"""
"""A class with the name, the weights and the pooling of NVIDIA's reranker: every token sees every other, and the mean
of all tokens is scored."""


def begin_texts(folder: Path, begin: str, *, end: str = "") -> None:
    """Make the tokenizer of a folder put `begin` in front of each text, and `end` behind it, as those of Llama do."""
    from tokenizers import processors

    words = tokenizer()
    words.add_special_tokens({"bos_token": begin})
    ends = [end] if end else []
    words.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single=[begin, "$A", *ends],
        pair=[begin, "$A", *ends, begin, "$B:1", *ends],
        special_tokens=[(token, words.convert_tokens_to_ids(token)) for token in (begin, *ends)],
    )
    words.model_input_names = ["input_ids", "attention_mask"]
    words.save_pretrained(folder)


def write_nemotron(folder: Path, *, begins: bool = True) -> Path:
    """Write a reranker of NVIDIA's class. With `begins`, each text of its tokenizer begins with a token, as in Llama 3;
    otherwise the tokenizer joins two texts by nothing."""
    write_decoder(folder, "Llama", head="SequenceClassification", vocab_size=len(tokenizer()) + 1)
    if begins:
        begin_texts(folder, BEGIN)
    module = "llama_bidirectional_model"
    (folder / f"{module}.py").write_text(NEMOTRON_CODE)
    set_config(
        folder,
        model_type="llama_bidirec",
        architectures=[NEMOTRON],
        auto_map={
            "AutoConfig": f"{module}.LlamaBidirectionalConfig",
            "AutoModelForSequenceClassification": f"{module}.{NEMOTRON}",
        },
    )
    return folder


def set_config(folder: Path, **fields: Any) -> None:
    """Set fields of config.json."""
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def own_logits(folder: Path, texts: Sequence[Any], **options: Any) -> list[float]:
    """Return the logits of whole prompts, tokenized in one call and scored one by one by transformers."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    words = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder, trust_remote_code=True).eval()
    with torch.inference_mode():
        encoded = (words(text, return_tensors="pt", **options) for text in texts)
        return [
            model(input_ids=one["input_ids"], attention_mask=one["attention_mask"]).logits.item() for one in encoded
        ]
