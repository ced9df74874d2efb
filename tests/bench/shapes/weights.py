"""Random weights with a fixed seed, and logits with the spread of a trained model."""

from collections.abc import Sequence
from typing import Any

from bench.shapes.shape import Shape

SEED = 20_261
_GAIN = 1.18
"""Standard deviation of a row of weights of length 1. With BERT's 0.02, an untrained model gives nearly equal logits."""
_SPREAD = 2.0
"""Standard deviation of the logits, about that of a trained model."""


def seeded() -> None:
    """Set torch's seed."""
    import torch

    torch.manual_seed(SEED)


def init_range(shape: Shape) -> float:
    """Return `initializer_range` for a shape: the same gain for every width."""
    width: int = shape.config["hidden_size"]
    return _GAIN * width**-0.5


def spread(model: Any, tokenizer: Any, pairs: Sequence[tuple[str, str]], max_tokens: int = 128) -> None:
    """Scale and shift the last layer in place, so that the logits of the pairs have mean 0 and the spread of a trained
    model.

    Otherwise all probabilities would be nearly equal: a system with wrong scores would not be noticed, and no engine
    would keep the ranking.
    """
    import torch

    queries, documents = map(list, zip(*pairs, strict=True))
    with torch.inference_mode():
        encoded = tokenizer(
            queries, documents, padding=True, truncation="only_second", max_length=max_tokens, return_tensors="pt"
        )
        logits = model(**encoded).logits.flatten()
    scale = _SPREAD / logits.std().item()
    *_, last = (
        module for module in model.modules() if isinstance(module, torch.nn.Linear) and module.out_features == 1
    )
    with torch.no_grad():
        last.weight *= scale
        if last.bias is None:
            last.bias = torch.nn.Parameter(torch.zeros(1))
        last.bias.copy_((last.bias - logits.mean()) * scale)
