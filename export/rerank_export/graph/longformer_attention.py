"""The attention of Longformer and LED in operations that a graph can hold.

transformers pads a text to a multiple of the attention window and loops over its chunks. Tracing would fix their
number, and so the length. Here each token attends to its window through a mask, which gives the same numbers.
"""

from types import MethodType
from typing import Any

_CLASSES = ("LongformerSelfAttention", "LEDEncoderSelfAttention")


def unchunk_attention(model: Any) -> None:
    """Replace chunked attention in a model, if it has any."""
    for module in model.modules():
        if type(module).__name__ in _CLASSES:
            module.forward = MethodType(_attend, module)
        if hasattr(module, "_pad_to_window_size"):
            module._pad_to_window_size = _unpadded  # noqa: SLF001 - the only way to leave the padding out


def _unpadded(**inputs: Any) -> tuple[Any, ...]:
    """Return the number of padding tokens, which is 0, and the inputs in their order."""
    return (0, *(value for name, value in inputs.items() if name != "pad_token_id"))


def _attend(
    attention: Any,
    hidden_states: Any,
    *_: Any,
    is_index_masked: Any,
    is_index_global_attn: Any,
    is_global_attn: bool,
    **__: Any,
) -> tuple[Any]:
    """Return the attention of each token to its window and to the global tokens, and of the first token to all tokens.

    Tensors have the shape (batch_size, sequence_length, …). A classifier of transformers has one global token, the
    first.
    """
    import torch

    def heads(projection: Any, tokens: Any) -> Any:
        return projection(tokens).unflatten(-1, (attention.num_heads, attention.head_dim)).transpose(1, 2)

    def attended(query: Any, key: Any, value: Any, visible: Any) -> Any:
        scores = query @ key.transpose(-1, -2) * attention.head_dim**-0.5
        scores = torch.where(visible, scores, torch.finfo(scores.dtype).min)
        return (scores.softmax(-1) @ value).transpose(1, 2).flatten(2)

    real = ~is_index_masked[:, None, None, :]
    index = torch.arange(hidden_states.shape[1])
    near = (index[:, None] - index[None, :]).abs() <= attention.one_sided_attn_window_size
    visible = (near[None, None] | is_index_global_attn[:, None, None, :]) & real
    query, key = heads(attention.query, hidden_states), heads(attention.key, hidden_states)
    output = attended(query, key, heads(attention.value, hidden_states), visible)
    if is_global_attn:
        query, key = heads(attention.query_global, hidden_states[:, :1]), heads(attention.key_global, hidden_states)
        first = attended(query, key, heads(attention.value_global, hidden_states), real)
        output = torch.cat([first, output[:, 1:]], dim=1)
    return (output,)
