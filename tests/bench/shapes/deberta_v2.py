"""Shapes of DeBERTa-v2 and v3, with a unigram tokenizer and a vocabulary of 128,100 pieces."""

from typing import Any

from bench.shapes.shape import Shape
from bench.shapes.weights import init_range, seeded

_SPECIAL = ("[PAD]", "[CLS]", "[SEP]", "[UNK]")
"""Special tokens, whose ids are 0 to 3."""

SHAPES = (
    Shape(
        name="mxbai-rerank-xsmall",
        model="mixedbread-ai/mxbai-rerank-xsmall-v1",
        source="https://huggingface.co/mixedbread-ai/mxbai-rerank-xsmall-v1/blob/main/config.json",
        architecture="deberta_v2",
        config={
            "vocab_size": 128_100,
            "hidden_size": 384,
            "num_hidden_layers": 12,
            "num_attention_heads": 6,
            "intermediate_size": 1_536,
            "max_position_embeddings": 512,
            "relative_attention": True,
            "position_buckets": 256,
            "norm_rel_ebd": "layer_norm",
            "share_att_key": True,
            "pos_att_type": ["p2c", "c2p"],
            "position_biased_input": False,
            "type_vocab_size": 0,
            "pooler_hidden_size": 384,
            "layer_norm_eps": 1e-7,
        },
        max_tokens=512,
        tokenizer="unigram",
    ),
)


def build(shape: Shape) -> tuple[Any, Any]:
    """Return the model and its tokenizer; see `Architecture.build`."""
    from tokenizers import processors
    from transformers import DebertaV2Config, DebertaV2ForSequenceClassification, PreTrainedTokenizerFast

    from bench.shapes.trained_tokenizers import unigram

    tokenizer = unigram(shape.config["vocab_size"], _SPECIAL, unknown="[UNK]")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    seeded()
    config = DebertaV2Config(**shape.config, num_labels=1, initializer_range=init_range(shape))
    names = {"unk_token": "[UNK]", "pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=shape.max_tokens, **names)
    return DebertaV2ForSequenceClassification(config).eval(), fast
