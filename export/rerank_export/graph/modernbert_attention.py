"""The attention and the feed-forward block of ModernBERT with fewer operations, and the same numbers.

transformers multiplies with one matrix for queries, keys and values, and with one matrix for both halves of the gated
feed-forward block, and then splits the products, which copies them. Here each part has a product of its own. The scale
of the scores is in the weights of the query, and rotary angles are computed once for all layers of a kind.
"""

from collections.abc import Mapping
from types import MethodType
from typing import Any


def is_modernbert(config: Mapping[str, Any]) -> bool:
    """Return True if the model with this config.json can be simplified."""
    return config.get("model_type") == "modernbert"


def simplify_modernbert(model: Any) -> None:
    """Replace attention and feed-forward block of ModernBERT in a model, if it has any."""
    angles: dict[Any, Any] = {}
    for module in list(model.modules()):
        if type(module).__name__ == "ModernBertAttention":
            query, key, value = _parts(module.Wqkv, 3)
            _scale(query, module.head_dim**-0.5)
            module.query, module.key, module.value = query, key, value
            module.angles, module.kind = angles, tuple(module.rotary_emb.inv_freq.tolist())
            module.forward = MethodType(_attend, module)
        elif type(module).__name__ == "ModernBertMLP":
            module.input, module.gate = _parts(module.Wi, 2)
            module.forward = MethodType(_feed_forward, module)


def _parts(linear: Any, count: int) -> list[Any]:
    """Return `count` layers whose outputs are the parts of the output of a linear layer."""
    import torch

    weights = linear.weight.detach().chunk(count)
    biases = [None] * count if linear.bias is None else linear.bias.detach().chunk(count)
    parts = []
    for weight, bias in zip(weights, biases, strict=True):
        part = torch.nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
        part.weight = torch.nn.Parameter(weight.clone(), requires_grad=False)
        if bias is not None:
            part.bias = torch.nn.Parameter(bias.clone(), requires_grad=False)
        parts.append(part)
    return parts


def _scale(linear: Any, factor: float) -> None:
    linear.weight.data.mul_(factor)
    if linear.bias is not None:
        linear.bias.data.mul_(factor)


def _attend(
    attention: Any,
    hidden_states: Any,
    *_: Any,
    attention_mask: Any,
    sliding_window_mask: Any,
    position_ids: Any,
    **__: Any,
) -> tuple[Any]:
    """Return the attention of each token, of shape (rows, tokens, width). Masks are added to the scores."""

    def heads(product: Any) -> Any:
        tokens = product(hidden_states)
        return tokens.view(*tokens.shape[:-1], attention.num_heads, attention.head_dim).transpose(1, 2)

    query, key, value = heads(attention.query), heads(attention.key), heads(attention.value)
    cos, sin = _angles(attention, query, position_ids)
    scores = _rotated(query, cos, sin) @ _rotated(key, cos, sin).transpose(-1, -2)
    scores = scores + (attention_mask if attention.local_attention == (-1, -1) else sliding_window_mask)
    attended = (scores.softmax(-1) @ value).transpose(1, 2)
    return (attention.Wo(attended.reshape(*hidden_states.shape[:2], attention.all_head_size)),)


def _angles(attention: Any, query: Any, position_ids: Any) -> tuple[Any, Any]:
    """Return cosine and sine of the rotation of each token, computed once per run and kind of layer."""
    if attention.angles.get("positions") is not position_ids:
        attention.angles.clear()
        attention.angles["positions"] = position_ids
    if attention.kind not in attention.angles:
        cos, sin = attention.rotary_emb(query, position_ids=position_ids)
        attention.angles[attention.kind] = cos.unsqueeze(1), sin.unsqueeze(1)
    angles: tuple[Any, Any] = attention.angles[attention.kind]
    return angles


def _rotated(tensor: Any, cos: Any, sin: Any) -> Any:
    import torch

    half = tensor.shape[-1] // 2
    turned = torch.cat((-tensor[..., half:], tensor[..., :half]), dim=-1)
    return tensor * cos + turned * sin


def _feed_forward(block: Any, hidden_states: Any) -> Any:
    return block.Wo(block.act(block.input(hidden_states)) * block.gate(hidden_states))
