"""Shapes of Qwen3 rerankers: text generators that answer yes or no, with a byte-level BPE tokenizer."""

from typing import Any

from bench.shapes.shape import Shape
from bench.shapes.weights import init_range, seeded

_SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<think>", "</think>")
"""Special tokens, whose ids are 0 to 4."""
_ANSWERS = ("yes", "no")
"""The tokens whose logits make the score."""

SHAPES = (
    Shape(
        name="qwen3-reranker-0.6b",
        model="Qwen/Qwen3-Reranker-0.6B",
        source="https://huggingface.co/Qwen/Qwen3-Reranker-0.6B/blob/main/config.json",
        architecture="qwen3",
        config={
            "vocab_size": 151_669,
            "hidden_size": 1_024,
            "num_hidden_layers": 28,
            "num_attention_heads": 16,
            "num_key_value_heads": 8,
            "head_dim": 128,
            "intermediate_size": 3_072,
            "max_position_embeddings": 40_960,
            "rope_theta": 1_000_000,
            "rms_norm_eps": 1e-6,
            "tie_word_embeddings": True,
        },
        max_tokens=8_192,
        tokenizer="BPE",
        template="qwen3-reranker",
        dtype="bfloat16",
    ),
)


def build(shape: Shape) -> tuple[Any, Any]:
    """Return the model and its tokenizer; see `Architecture.build`."""
    from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

    from bench.shapes.trained_tokenizers import byte_level

    seeded()
    ids = {"pad_token_id": 0, "bos_token_id": 0, "eos_token_id": 2}
    config = Qwen3Config(**shape.config, **ids, initializer_range=init_range(shape))
    fast = PreTrainedTokenizerFast(
        tokenizer_object=byte_level(shape.config["vocab_size"], _SPECIAL, _ANSWERS),
        model_max_length=shape.max_tokens,
        model_input_names=["input_ids", "attention_mask"],
        pad_token=_SPECIAL[0],
        eos_token=_SPECIAL[2],
    )
    return Qwen3ForCausalLM(config).eval(), fast
