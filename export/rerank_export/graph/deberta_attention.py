"""The attention of DeBERTa-v2 and v3 with fewer operations, and the same numbers.

A token's score of another token has three terms, all of which depend on contents or on the distance δ of the tokens:

    score[i, j] = (query[i] · key[j] + query[i] · position_key[i - j] + key[j] · position_query[i - j]) / scale

transformers multiplies each token with all 512 rows of a table, one per bucket of distances, and then gathers the scores by
an index as large as the scores, in every layer. A text of n tokens has 2n - 1 distances. So here the rows of these distances
are looked up once per layer, each token is multiplied with them, and each row of scores is shifted to its place by a change
of shape. The tables are computed at export, because they depend on weights only.
"""

from collections.abc import Mapping
from types import MethodType
from typing import Any

_CLASS = "DisentangledSelfAttention"
_TERMS = ("c2p", "p2c")


def has_disentangled_attention(config: Mapping[str, Any]) -> bool:
    """Return True if the attention of the model with this config.json can be replaced."""
    return config.get("model_type") == "deberta-v2" and bool(config.get("relative_attention"))


def simplify_attention(model: Any) -> None:
    """Replace the attention of DeBERTa-v2 in a model, if it has any."""
    import torch

    attentions = [module for module in model.modules() if type(module).__name__ == _CLASS]
    if not attentions or not has_disentangled_attention(model.config.to_dict()):
        return
    encoder = next(module for module in model.modules() if type(module).__name__ == "DebertaV2Encoder")
    with torch.no_grad():
        embeddings = encoder.get_rel_embedding()
        for attention in attentions:
            _add_tables(attention, embeddings[: 2 * attention.pos_ebd_size])
            attention.forward = MethodType(_attend, attention)
    encoder.get_attention_mask = _additive_mask
    encoder.get_rel_pos = MethodType(_rows_of_distances, encoder)


def _add_tables(attention: Any, embeddings: Any) -> None:
    """Add the tables of both terms, of shape (buckets, heads * head_size), each None without the term."""
    used = [term for term in _TERMS if term in attention.pos_att_type]
    attention.scale = (attention.attention_head_size * (1 + len(used))) ** -0.5
    shared = attention.share_att_key
    key, query = (
        (attention.key_proj, attention.query_proj)
        if shared
        else (getattr(attention, "pos_key_proj", None), getattr(attention, "pos_query_proj", None))
    )
    attention.register_buffer("position_key", key(embeddings).clone() if "c2p" in used else None)
    attention.register_buffer("position_query", query(embeddings) * attention.scale if "p2c" in used else None)


def _additive_mask(attention_mask: Any) -> Any:
    """Return a mask of shape (rows, 1, 1, tokens): 0 for tokens, and the lowest float32 for padding."""
    import torch

    return (1.0 - attention_mask[:, None, None, :].float()) * torch.finfo(torch.float32).min


def _rows_of_distances(encoder: Any, hidden_states: Any, *_: Any) -> Any:
    """Return the rows of the tables, int64 of shape (2, 2n): for distances from n - 1 down to -n, and from 1 - n up to n.

    The last distance of each is not needed, but makes the shift of the scores cheaper.
    """
    import torch
    from transformers.models.deberta_v2.modeling_deberta_v2 import make_log_bucket_position

    tokens = hidden_states.shape[1]
    distance = torch.arange(1 - tokens, tokens + 1)
    span = encoder.position_buckets if encoder.position_buckets > 0 else encoder.max_relative_positions
    if encoder.position_buckets > 0 and encoder.max_relative_positions > 0:
        distance = make_log_bucket_position(distance, encoder.position_buckets, encoder.max_relative_positions)
    distance = distance.to(torch.long)
    return torch.stack((span - distance, span + distance)).clamp(0, 2 * span - 1)


def _attend(
    attention: Any,
    hidden_states: Any,
    attention_mask: Any,
    output_attentions: bool = False,
    query_states: Any = None,
    relative_pos: Any = None,
    rel_embeddings: Any = None,
) -> tuple[Any, None]:
    """Return the attention of each token, of shape (rows, tokens, width).

    `attention_mask` comes from `_additive_mask`, and `relative_pos` from `_rows_of_distances`.
    """

    def heads(tensor: Any) -> Any:
        # view, because tracing fixes the number of tokens after unflatten and flatten
        return tensor.view(*tensor.shape[:-1], attention.num_attention_heads, attention.attention_head_size)

    query_states = hidden_states if query_states is None else query_states
    query = heads(attention.query_proj(query_states)).transpose(1, 2) * attention.scale
    key = heads(attention.key_proj(hidden_states)).transpose(1, 2)
    value = heads(attention.value_proj(hidden_states)).transpose(1, 2)
    scores = query @ key.transpose(-1, -2)
    if attention.position_key is not None:  # the distance i - j falls as j rises
        rows = heads(attention.position_key[relative_pos[0]])
        scores = scores + _shifted(query @ rows.permute(1, 2, 0))
    if attention.position_query is not None:
        rows = heads(attention.position_query[relative_pos[1]])
        scores = scores + _shifted(key @ rows.permute(1, 2, 0)).transpose(-1, -2)
    attended = (scores + attention_mask).softmax(-1) @ value
    return attended.transpose(1, 2).reshape(*hidden_states.shape[:2], attention.all_head_size), None


def _shifted(scores: Any) -> Any:
    """Return element [i, n - 1 - i + j] as element [i, j]: shape (rows, heads, n, 2n) to (rows, heads, n, n).

    The wanted elements of two rows lie 2n - 1 apart in memory.
    """
    rows, heads, tokens, width = (scores.shape[axis] for axis in range(4))
    flat = scores.view(rows, heads, tokens * width)
    return flat[:, :, tokens - 1 : -1].view(rows, heads, tokens, width - 1)[..., :tokens]
