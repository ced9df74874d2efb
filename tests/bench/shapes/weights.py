"""Random weights with a fixed seed, and logits with the spread of a trained model."""

import math
from collections.abc import Sequence
from typing import Any

from bench.shapes.shape import Shape

SEED = 20_261
_GAIN = 1.18
"""Standard deviation of a row of weights of length 1. With BERT's 0.02, untrained models give nearly equal logits."""
_SPREAD = 2.0
"""Standard deviation of the logits, about that of a trained model."""
_ROUNDS = 4
"""Number of times that the answers are fitted: a prompt names them, so new ones change its last state a little."""


def seeded() -> None:
    """Set torch's seed."""
    import torch

    torch.manual_seed(SEED)


def init_range(shape: Shape) -> float:
    """Return `initializer_range` for a shape: the same gain for every width."""
    return _GAIN / math.sqrt(shape.config["hidden_size"])


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


def spread_answers(model: Any, prompts: Any, answers: tuple[int, int]) -> None:
    """Change the vectors of two tokens of a text generator in place, so that the differences of their logits have
    mean 0 and the spread of a trained model.

    `prompts` are encoded prompts of pairs, padded on the left. The difference of the vectors is the direction in which
    the last states of the prompts differ most.
    """
    import torch

    yes, no = answers
    weights = model.get_output_embeddings().weight
    middle = weights.detach()[[yes, no]].mean(0)
    for _ in range(_ROUNDS):
        with torch.no_grad():
            states = model.base_model(**prompts, use_cache=False).last_hidden_state[:, -1]
            mean = states.mean(0)
            unit = mean / mean.norm()
            differences = states - mean
            direction = torch.linalg.svd(differences - torch.outer(differences @ unit, unit)).Vh[0]
            half = direction * (_SPREAD / (states @ direction).std() / 2)
            weights[yes], weights[no] = middle + half, middle - half
