"""Tokenizers in the formats before tokenizer.json: SentencePiece models, vocabularies with merges, tiktoken."""

import base64
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from support.encoders import CORPUS

Files = Mapping[str, bytes]


def sentencepiece(**options: Any) -> bytes:
    """Train a SentencePiece model on the corpus of the test models."""
    from sentencepiece import SentencePieceTrainer

    written = io.BytesIO()
    settings = {"vocab_size": 150, "model_type": "unigram", "hard_vocab_limit": False, "minloglevel": 2} | options
    SentencePieceTrainer.train(sentence_iterator=iter(CORPUS * 3), model_writer=written, **settings)
    return written.getvalue()


def t5_sentencepiece(*words: str) -> bytes:
    """Train a model with the special tokens of T5, in which each of `words` is one token."""
    ids = {"pad_id": 0, "eos_id": 1, "unk_id": 2, "bos_id": -1}
    return sentencepiece(**ids, user_defined_symbols=[f"▁{word}" for word in words])


def byte_level(folder: Path) -> Files:
    """Train a byte-level BPE and return its vocab.json and merges.txt. `folder` receives temporary files."""
    from tokenizers import ByteLevelBPETokenizer

    tokenizer = ByteLevelBPETokenizer()
    specials = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    tokenizer.train_from_iterator(CORPUS, vocab_size=300, show_progress=False, special_tokens=specials)
    tokenizer.save_model(str(folder))
    return {name: (folder / name).read_bytes() for name in ("vocab.json", "merges.txt")}


def wordpiece() -> bytes:
    """Return a vocab.txt that has each letter."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *(f"##{letter}" for letter in letters)]
    return "\n".join(pieces).encode()


def tiktoken() -> bytes:
    """Return a file of tiktoken that has each byte and a few merges, like the tokenizer.model of Llama 3."""
    tokens = [*(bytes([value]) for value in range(256)), b" t", b"th", b"he", b" the"]
    return b"".join(base64.b64encode(token) + b" %d\n" % rank for rank, token in enumerate(tokens))
