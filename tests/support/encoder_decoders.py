"""Small random text generators with an encoder, and a SentencePiece tokenizer like T5's."""

import json
from pathlib import Path
from typing import Any

from support.older_tokenizers import t5_sentencepiece

ANSWERS = ("true", "false", "yes", "no", "sim", "não")
_SIZE: dict[str, Any] = {
    "d_model": 32,
    "d_kv": 8,
    "d_ff": 64,
    "num_layers": 2,
    "num_decoder_layers": 2,
    "num_heads": 4,
    "vocab_size": 250,
    "pad_token_id": 0,
    "eos_token_id": 1,
    "decoder_start_token_id": 0,
}


def write_encoder_decoder(folder: Path, family: str, *, head: str = "ConditionalGeneration", **size: Any) -> Path:
    """Write a model and its spiece.model, without tokenizer.json, as those of castorini are published."""
    import torch
    import transformers

    torch.manual_seed(40)
    config = getattr(transformers, f"{family}Config")(**(_SIZE | size))
    model = getattr(transformers, f"{family}For{head}")(config)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn_like(weight) * 0.1)
    model.eval().save_pretrained(folder)
    write_tokenizer(folder)
    return folder


def write_tokenizer(folder: Path) -> None:
    """Write spiece.model and its settings, and a config.json that only names the type, if there is none."""
    if not (folder / "config.json").exists():
        (folder / "config.json").write_text(json.dumps({"model_type": "t5"}))
    (folder / "spiece.model").write_bytes(t5_sentencepiece(*ANSWERS))
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "T5Tokenizer", "extra_ids": 0}))
