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
    """A text generator whose score comes from the logits of answer tokens, by the recipe of its family."""

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
    "ernie": Encoder("ERNIE", "ernie", 0, "exported by torch"),
    "xlm-roberta-xl": Encoder("XLM-RoBERTa-XL", "xlm-roberta-xl", 1, "exported by torch"),
    "longformer": Encoder("Longformer", "longformer", 1, "exported by torch, with its window as a mask"),
    "camembert-types": Encoder("CamemBERT", "camembert", 0, "two token types, so exported by torch"),
    "big_bird": Encoder("BigBird", "big_bird", 0, "up to the length of its full attention"),
}

_WINDOW: Mapping[str, Any] = {"sliding_window": 16, "use_sliding_window": True, "max_window_layers": 1}
_SOME_SLIDE: Mapping[str, Any] = {"sliding_window": 16, "layer_types": ["sliding_attention", "full_attention"]}
_LOCAL = [[["global", "local"], 1]]

DECODERS = {
    "qwen2": Decoder("Qwen2", "qwen2"),
    "qwen3": Decoder("Qwen3", "qwen3"),
    "qwen3-window": Decoder("Qwen3", "qwen3", _WINDOW, "sliding window in some layers"),
    "llama": Decoder("Llama", "llama"),
    "gemma": Decoder("Gemma", "gemma"),
    "gemma2-window": Decoder("Gemma2", "gemma2", {"sliding_window": 16}, "sliding window in some layers"),
    "mistral-window": Decoder("Mistral", "mistral", {"sliding_window": 16}, "sliding window"),
    "gemma3-window": Decoder(
        "Gemma3Text",
        "gemma3_text",
        _SOME_SLIDE,
        "sliding window in some layers",
    ),
}

OTHER_DECODERS = {
    "arcee": Decoder("Arcee", "arcee"),
    "biogpt": Decoder("BioGpt", "biogpt"),
    "diffllama": Decoder("DiffLlama", "diffllama"),
    "exaone4": Decoder("Exaone4", "exaone4", _SOME_SLIDE),
    "falcon": Decoder("Falcon", "falcon"),
    "glm": Decoder("Glm", "glm"),
    "glm4": Decoder("Glm4", "glm4"),
    "gpt2": Decoder("GPT2", "gpt2"),
    "gpt_bigcode": Decoder("GPTBigCode", "gpt_bigcode"),
    "gpt_neo": Decoder("GPTNeo", "gpt_neo", {"num_layers": 2, "window_size": 16, "attention_types": _LOCAL}),
    "gpt_neox": Decoder("GPTNeoX", "gpt_neox"),
    "gptj": Decoder("GPTJ", "gptj", {"rotary_dim": 4}),
    "helium": Decoder("Helium", "helium"),
    "hunyuan_v1_dense": Decoder("HunYuanDenseV1", "hunyuan_v1_dense"),
    "ministral": Decoder("Ministral", "ministral", {"sliding_window": 16}),
    "modernbert-decoder": Decoder(
        "ModernBertDecoder", "modernbert-decoder", {"local_attention": 16, "global_attn_every_n_layers": 2}
    ),
    "nemotron": Decoder("Nemotron", "nemotron"),
    "opt": Decoder("OPT", "opt", {"ffn_dim": 64, "word_embed_proj_dim": 32}),
    "persimmon": Decoder("Persimmon", "persimmon"),
    "phi": Decoder("Phi", "phi"),
    "phi3": Decoder("Phi3", "phi3"),
    "seed_oss": Decoder("SeedOss", "seed_oss"),
    "smollm3": Decoder("SmolLM3", "smollm3"),
    "stablelm": Decoder("StableLm", "stablelm"),
    "starcoder2": Decoder("Starcoder2", "starcoder2"),
}
"""Decoders that are exported in the same way; the passes may not know their last layer."""

GENERATORS = {
    "Qwen3-Reranker-0.6B": Generator("Qwen3", "qwen3", "qwen3-reranker"),
    "mxbai-rerank-base-v2": Generator("Qwen2", "qwen2", "mxbai-rerank-v2"),
    "bge-reranker-v2-gemma": Generator("Gemma", "gemma", "bge-reranker-v2-gemma"),
    "zerank-1-small": Generator("Qwen3", "qwen3", "zerank"),
}

ENCODER_DECODERS = {
    "monot5-base-msmarco": Generator("T5", "t5", "monot5"),
    "mt5-base-mmarco-v2": Generator("MT5", "mt5", "mt5-msmarco"),
    "ptt5-base-pt-msmarco-10k-v2": Generator("T5", "t5", "ptt5-msmarco"),
}

LONG = {"modernbert-long": "ModernBERT", "qwen3": "Qwen3"}
"""Architectures that are tested with documents of 8,000 tokens over gRPC."""
