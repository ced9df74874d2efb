"""Tokenizers in use, each one in memory once: models with equal tokenizer.json files share it.

The tokenizer of XLM-R, with 250,002 pieces, takes 400 MB. A new version of a model, its tuning, and models of the same
family mostly have the same one.
"""

import hashlib
import threading
from dataclasses import dataclass
from pathlib import Path
from weakref import WeakValueDictionary

from tokenizers import Tokenizer

from rerank_service.encoding.tokenizer_file import load_tokenizer, read_tokenizer_file


@dataclass(frozen=True, slots=True, weakref_slot=True, eq=False)
class SharedTokenizer:
    """A tokenizer in use. Models that are loaded while this object is referenced share it."""

    tokenizer: Tokenizer
    """Without padding and truncation. Do not change it. tokenizers 0.22 has no weak references to it."""


_in_use: WeakValueDictionary[bytes, SharedTokenizer] = WeakValueDictionary()
"""Tokenizers by the digest of their files."""
_lock = threading.Lock()


def shared_tokenizer(path: Path) -> SharedTokenizer:
    """Return the tokenizer in a tokenizer.json. It is loaded unless one of an equal file is in use.

    Thread-safe. Two first calls at the same time both load the file, and return the same tokenizer.

    Raises:
        BundleInvalid: the file is missing, or is not a tokenizer, or is damaged.
    """
    content = read_tokenizer_file(path)
    digest = hashlib.sha256(content).digest()
    with _lock:
        if (shared := _in_use.get(digest)) is not None:
            return shared
    loaded = load_tokenizer(path, content)
    loaded.no_padding()
    loaded.no_truncation()
    with _lock:
        return _in_use.setdefault(digest, SharedTokenizer(loaded))
