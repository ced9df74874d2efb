"""Load tokenizer.json, and check that it can tokenize a pair."""

import json
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from rerank_service.error_text import excerpt, one_line
from rerank_service.errors import BundleInvalid
from rerank_service.rust_panics import panics_as_errors


def read_tokenizer_file(path: Path) -> bytes:
    """Return the content of a tokenizer.json.

    Raises:
        BundleInvalid: the file cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise _invalid(path, error) from error


def load_tokenizer(path: Path, content: bytes | None = None) -> Tokenizer:
    """Return the tokenizer in a file, in the format of the Hugging Face library `tokenizers`.

    `content` is that of the file, for a caller that has read it.

    Raises:
        BundleInvalid: the file is missing, or is not a tokenizer, or is damaged.
    """
    content = read_tokenizer_file(path) if content is None else content
    try:
        with panics_as_errors():
            tokenizer = Tokenizer.from_buffer(content)
            _check_special_tokens(tokenizer)
            tokenizer.encode("a", "b")
    except Exception as error:
        raise _invalid(path, error) from error
    return tokenizer


def _invalid(path: Path, error: Exception) -> BundleInvalid:
    return BundleInvalid(
        f"{path} is not a tokenizer, or is damaged ({excerpt(one_line(error))}): download or export it again"
    )


def _check_special_tokens(tokenizer: Tokenizer) -> None:
    """Check that the tokenizer defines the special tokens of its pair format. Without them, the library would panic."""
    if tokenizer.post_processor is None:
        return
    for part in _processors(json.loads(tokenizer.post_processor.__getstate__())):
        if undefined := _undefined_in(part):
            raise ValueError(f"it does not define {', '.join(sorted(undefined))}")


def _processors(state: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the parts of a post-processor that consists of several, else itself."""
    return [each for part in state["processors"] for each in _processors(part)] if "processors" in state else [state]


def _undefined_in(state: dict[str, Any]) -> set[str]:
    pieces = [piece for name in ("single", "pair") for piece in state.get(name, ())]
    used = {piece["SpecialToken"]["id"] for piece in pieces if "SpecialToken" in piece}
    return used - set(state.get("special_tokens", ()))
