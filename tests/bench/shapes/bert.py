"""Shapes of BERT, with a WordPiece tokenizer."""

from typing import Any

from bench.shapes.shape import Shape
from bench.shapes.weights import init_range, seeded

_MINILM = {
    "vocab_size": 30_522,
    "hidden_size": 384,
    "num_attention_heads": 12,
    "intermediate_size": 1_536,
    "max_position_embeddings": 512,
}


def _minilm(layers: int) -> Shape:
    model = f"cross-encoder/ms-marco-MiniLM-L{layers}-v2"
    return Shape(
        name=f"minilm-l{layers}",
        model=model,
        source=f"https://huggingface.co/{model}/blob/main/config.json",
        architecture="bert",
        config={**_MINILM, "num_hidden_layers": layers},
        max_tokens=512,
        tokenizer="WordPiece",
    )


SHAPES = (_minilm(6), _minilm(12))


def build(shape: Shape) -> tuple[Any, Any]:
    """Return the model and its tokenizer; see `Architecture.build`."""
    from transformers import BertConfig, BertForSequenceClassification

    from bench.model import bert_tokenizer

    seeded()
    config = BertConfig(**shape.config, num_labels=1, initializer_range=init_range(shape))
    return BertForSequenceClassification(config).eval(), bert_tokenizer()
