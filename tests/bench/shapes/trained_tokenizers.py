"""Tokenizers trained on the parity set, with a vocabulary of the published size.

A tokenizer's speed depends on its kind and on the text, its memory on the number of pieces. Training on a small text
gives some ten thousand pieces; the rest are pieces that never occur in a text.
"""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from rerank_service.models.tuning import parity_set

_TRAINED = 24_000
"""Maximum number of trained pieces."""
_RARE = -40.0
"""Logarithm of the probability of a piece that never occurs; that of a trained piece is above -20."""
_UNUSED = 0xE000
"""First of the private code points of Unicode, of which pieces that never occur consist."""


def unigram(size: int, special: Sequence[str], unknown: str) -> Any:
    """Return a unigram tokenizer, the kind of SentencePiece, with the ids of `special` from 0 on."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=min(size, _TRAINED), special_tokens=list(special), unk_token=unknown, show_progress=False
    )
    tokenizer.train_from_iterator(_texts(), trainer)
    pieces = [tuple(piece) for piece in _stored(tokenizer)["vocab"]]
    filled = [*pieces, *((piece, _RARE) for piece in itertools.islice(_never(), size - len(pieces)))]
    tokenizer.model = models.Unigram(filled, unk_id=special.index(unknown))
    tokenizer.add_special_tokens(list(special))
    return tokenizer


def byte_level(size: int, special: Sequence[str], words: Sequence[str] = ()) -> Any:
    """Return a byte-level BPE tokenizer, with the ids of `special` from 0 on. Each of `words` is one token."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=min(size, _TRAINED),
        special_tokens=list(special),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_texts(), trainer)
    stored = _stored(tokenizer)
    pieces: dict[str, int] = stored["vocab"]
    merges = [(first, second) for first, second in stored["merges"]]
    for word in words:
        whole, *rest = tokenizer.encode(word).tokens
        for piece in rest:
            merges.append((whole, piece))
            whole += piece
            pieces.setdefault(whole, len(pieces))
    pieces |= {piece: len(pieces) + at for at, piece in enumerate(itertools.islice(_never(), size - len(pieces)))}
    tokenizer.model = models.BPE(pieces, merges)
    tokenizer.add_special_tokens(list(special))
    return tokenizer


def _texts() -> Iterable[str]:
    """Yield the queries and documents of the parity set, each text once."""
    return dict.fromkeys(text for query in parity_set.queries() for text in (query.text, *query.documents))


def _stored(tokenizer: Any) -> Any:
    """Return the model as tokenizer.json describes it."""
    import json

    return json.loads(tokenizer.to_str())["model"]


def _never() -> Iterator[str]:
    """Yield different pieces that occur in no text, of the length of a common piece."""
    for number in itertools.count():
        yield "".join(chr(_UNUSED + number // 40**place % 40) for place in range(5))
