"""Architectures that tests export and compare with torch.

Tests run for these lists, and docs/models.md is generated from them. An architecture that is missing here is not
verified. Rule: this module has data only, so that the page can be generated without torch.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Encoder:
    """A cross-encoder with a classification head."""

    name: str
    """Name that its authors use."""
    kind: str
    """`model_type` in config.json."""
    pad_id: int
    notes: str = ""


@dataclass(frozen=True, slots=True)
class Decoder:
    """A decoder with a one-label head."""

    family: str
    """Prefix of its classes in transformers."""
    kind: str
    size: Mapping[str, Any] = field(default_factory=dict)
    """Differences to the configuration of the other small decoders."""
    notes: str = ""


@dataclass(frozen=True, slots=True)
class Generator:
    """A decoder whose score comes from the logits of answer tokens, by the recipe of its family."""

    family: str
    kind: str
    recipe: str


ENCODERS = {
    "bert": Encoder("BERT", "bert", 0),
    "roberta": Encoder("RoBERTa", "roberta", 1),
    "xlm-roberta": Encoder("XLM-RoBERTa", "xlm-roberta", 1, "Unigram tokenizer"),
    "distilbert": Encoder("DistilBERT", "distilbert", 0),
    "electra": Encoder("ELECTRA", "electra", 0),
    "mpnet": Encoder("MPNet", "mpnet", 1),
    "deberta-v2": Encoder("DeBERTa-v2, v3", "deberta-v2", 0, "relative position buckets"),
    "albert": Encoder("ALBERT", "albert", 0),
    "modernbert": Encoder("ModernBERT", "modernbert", 0, "first-token pooling"),
    "modernbert-mean": Encoder("ModernBERT", "modernbert", 0, "mean pooling"),
}

_WINDOW: Mapping[str, Any] = {"sliding_window": 16, "use_sliding_window": True, "max_window_layers": 1}

DECODERS = {
    "qwen2": Decoder("Qwen2", "qwen2"),
    "qwen3": Decoder("Qwen3", "qwen3"),
    "qwen3-window": Decoder("Qwen3", "qwen3", _WINDOW, "sliding window in some layers"),
    "llama": Decoder("Llama", "llama"),
    "gemma": Decoder("Gemma", "gemma"),
    "gemma2-window": Decoder("Gemma2", "gemma2", {"sliding_window": 16}, "sliding window in some layers"),
    "mistral-window": Decoder("Mistral", "mistral", {"sliding_window": 16}, "sliding window"),
}

GENERATORS = {
    "Qwen3-Reranker-0.6B": Generator("Qwen3", "qwen3", "qwen3-reranker"),
    "mxbai-rerank-base-v2": Generator("Qwen2", "qwen2", "mxbai-rerank-v2"),
    "bge-reranker-v2-gemma": Generator("Gemma", "gemma", "bge-reranker-v2-gemma"),
    "zerank-1-small": Generator("Qwen3", "qwen3", "zerank"),
}

LONG = {"modernbert-long": "ModernBERT", "qwen3": "Qwen3"}
"""Architectures that are tested with documents of 8,000 tokens over gRPC."""
