"""Bodies with texts that must not be logged or traced."""

from typing import Any

NAMES = frozenset(("model", "modelArn", "model_id", "rank_fields", "type"))
"""Fields with names. An error may show a name."""


def canaries(value: Any) -> Any:
    """Replace each text of a body by a text that must not be logged; keep the names of fields and of the model."""
    if isinstance(value, dict):
        return {name: entry if name in NAMES else canaries(entry) for name, entry in value.items()}
    if isinstance(value, list):
        return [canaries(entry) for entry in value]
    return f"Jane {value}" if isinstance(value, str) else value
