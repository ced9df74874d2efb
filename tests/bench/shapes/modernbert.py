"""Shapes of ModernBERT, with a byte-level BPE tokenizer."""

from typing import Any

from bench.shapes.shape import Shape
from bench.shapes.weights import init_range, seeded

_SPECIAL = ("[UNK]", "[PAD]", "[CLS]", "[SEP]")
"""Special tokens, whose ids are 0 to 3."""

SHAPES = (
    Shape(
        name="gte-reranker-modernbert-base",
        model="Alibaba-NLP/gte-reranker-modernbert-base",
        source="https://huggingface.co/Alibaba-NLP/gte-reranker-modernbert-base/blob/main/config.json",
        architecture="modernbert",
        config={
            "vocab_size": 50_368,
            "hidden_size": 768,
            "num_hidden_layers": 22,
            "num_attention_heads": 12,
            "intermediate_size": 1_152,
            "max_position_embeddings": 8_192,
            "global_attn_every_n_layers": 3,
            "local_attention": 128,
            "classifier_pooling": "mean",
        },
        max_tokens=8_192,
        tokenizer="BPE",
    ),
)


def build(shape: Shape) -> tuple[Any, Any]:
    """Return the model and its tokenizer; see `Architecture.build`."""
    from tokenizers import processors
    from transformers import ModernBertConfig, ModernBertForSequenceClassification, PreTrainedTokenizerFast

    from bench.shapes.trained_tokenizers import byte_level

    tokenizer = byte_level(shape.config["vocab_size"], _SPECIAL)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    seeded()
    ids = {"pad_token_id": 1, "cls_token_id": 2, "sep_token_id": 3, "bos_token_id": 2, "eos_token_id": 3}
    config = ModernBertConfig(
        **shape.config, **ids, num_labels=1, initializer_range=init_range(shape), reference_compile=False
    )
    names = {"unk_token": "[UNK]", "pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=shape.max_tokens,
        model_input_names=["input_ids", "attention_mask"],
        **names,
    )
    return ModernBertForSequenceClassification(config).eval(), fast
