"""Shapes of XLM-RoBERTa, with a unigram tokenizer and a vocabulary of 250,002 pieces."""

from typing import Any

from bench.shapes.shape import Shape
from bench.shapes.weights import init_range, seeded

_COMMON = {"vocab_size": 250_002, "type_vocab_size": 1, "layer_norm_eps": 1e-5}
_SPECIAL = ("<s>", "<pad>", "</s>", "<unk>")
"""Special tokens, whose ids are 0 to 3."""


def _shape(name: str, model: str, max_tokens: int, **config: Any) -> Shape:
    return Shape(
        name=name,
        model=model,
        source=f"https://huggingface.co/{model}/blob/main/config.json",
        architecture="xlm_roberta",
        config=_COMMON | config,
        max_tokens=max_tokens,
        tokenizer="unigram",
    )


SHAPES = (
    _shape(
        "bge-reranker-base",
        "BAAI/bge-reranker-base",
        512,
        hidden_size=768,
        num_hidden_layers=12,
        num_attention_heads=12,
        intermediate_size=3_072,
        max_position_embeddings=514,
    ),
    _shape(
        "bge-reranker-v2-m3",
        "BAAI/bge-reranker-v2-m3",
        8_192,
        hidden_size=1_024,
        num_hidden_layers=24,
        num_attention_heads=16,
        intermediate_size=4_096,
        max_position_embeddings=8_194,
    ),
)
"""jina-reranker-v2-base-multilingual has the sizes of bge-reranker-base, but code of its own."""


def build(shape: Shape) -> tuple[Any, Any]:
    """Return the model and its tokenizer; see `Architecture.build`."""
    from tokenizers import processors
    from transformers import XLMRobertaConfig, XLMRobertaForSequenceClassification, XLMRobertaTokenizerFast

    from bench.shapes.trained_tokenizers import unigram

    tokenizer = unigram(shape.config["vocab_size"], _SPECIAL, unknown="<unk>")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    seeded()
    config = XLMRobertaConfig(**shape.config, num_labels=1, initializer_range=init_range(shape))
    fast = XLMRobertaTokenizerFast(tokenizer_object=tokenizer, model_max_length=shape.max_tokens, mask_token=None)
    return XLMRobertaForSequenceClassification(config).eval(), fast
