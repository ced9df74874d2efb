"""The longest text that one graph computes like the model. Some models compute longer texts in another way."""

from collections.abc import Mapping
from typing import Any


def graph_window(config: Mapping[str, Any]) -> int | None:
    """Return the maximum number of tokens for which a traced graph is valid; None without such a limit.

    `config` is config.json with the defaults of transformers.
    """
    limits = [limit for limit in (_full_attention(config), _short_rope(config)) if limit]
    return min(limits, default=None)


def _full_attention(config: Mapping[str, Any]) -> int | None:
    """Return the length up to which BigBird computes full attention instead of blocks, some of them random."""
    if config.get("attention_type") != "block_sparse":
        return None
    return int((5 + 2 * config["num_random_blocks"]) * config["block_size"])


def _short_rope(config: Mapping[str, Any]) -> int | None:
    """Return the length up to which Phi-3 and similar models use the short factors of their rotary positions."""
    scaling = config.get("rope_scaling") or {}
    if scaling.get("rope_type", scaling.get("type")) != "longrope":
        return None
    original = scaling.get("original_max_position_embeddings") or config.get("original_max_position_embeddings")
    return int(original or config["max_position_embeddings"])
