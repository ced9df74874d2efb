"""Tokenizers that panic in Rust: a bug of the library, which Python code does not see as an Exception."""

import json
from pathlib import Path
from typing import Any

_AT_LOAD: dict[str, Any] = {"normalizer": {"type": "Precompiled", "precompiled_charsmap": ""}}
_AT_USE: dict[str, Any] = {"pre_tokenizer": {"type": "FixedLength", "length": 0}}


def break_tokenizer(path: Path, *, at_load: bool) -> None:
    """Change a tokenizer.json so that tokenizers panics when it loads the file, or when it tokenizes a text."""
    path.write_text(json.dumps(json.loads(path.read_text()) | (_AT_LOAD if at_load else _AT_USE)))


PANICKING = json.dumps(
    {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [],
        "pre_tokenizer": None,
        "post_processor": None,
        "decoder": None,
        "model": {"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "a"},
        **_AT_LOAD,
    }
)
"""A tokenizer.json on which tokenizers panics when it loads it."""
