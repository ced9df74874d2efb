"""Texts in vLLM's form for multimodal inputs: `{"content": [{"type": "text", "text": text}, …]}`.

Source: vLLM, vllm/entrypoints/pooling/scoring/typing.py; vllm/entrypoints/chat_utils.py, which joins the texts.
"""

from typing import Any


def text_of_parts(value: Any) -> str | None:
    """Return the text of an object that has only text parts: their texts, one per line. None: any other value."""
    parts = value.get("content") if isinstance(value, dict) and len(value) == 1 else None
    if not isinstance(parts, list) or not parts or not all(map(_is_text, parts)):
        return None
    return "\n".join([part["text"] for part in parts])


def _is_text(part: Any) -> bool:
    return isinstance(part, dict) and part.get("type") == "text" and isinstance(part.get("text"), str)
