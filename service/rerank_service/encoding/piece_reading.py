"""Tokenize as many pieces of texts as a room needs, from the start or from the end of each text."""

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding

from rerank_service.encoding.text_length import is_dense
from rerank_service.encoding.text_pieces import text_pieces
from rerank_service.encoding.token_rate import TokenizedText, TokenRates
from rerank_service.encoding.token_spans import token_spans
from rerank_service.ranking.document import Span
from rerank_service.ranking.request import CutSide

_CHARS_PER_TOKEN = 16
"""Characters that are read for each token needed. Few words are longer, so that reading once is nearly always
enough."""
_PIECE_CHARS_PER_TOKEN = 4
"""Characters of a piece for each token of the model's limit. So an English pair lies in one piece or two."""
_MIN_PIECE_CHARS = 2_048
"""Minimum characters of a piece, so that few long words are divided: a tokenizer may know a part of a word only."""
NO_LIMIT = sys.maxsize
"""A room for all tokens of a text."""

Encode = Callable[[Sequence[str]], list[Encoding]]


def piece_chars(max_tokens: int) -> int:
    """Return the maximum characters of a piece for a model with this token limit.

    It depends on the model only. If it depended on the room, so would the tokens of a text without blanks.
    """
    return max(_MIN_PIECE_CHARS, max_tokens * _PIECE_CHARS_PER_TOKEN)


@dataclass(slots=True, kw_only=True)
class _Reading:
    """A text, and the pieces of it that were read."""

    text: str
    is_dense: bool
    from_end: bool
    pieces: Iterator[Span]
    """The pieces that were not read yet, from the side that is kept."""
    read: list[tuple[Span, Encoding]] = field(default_factory=list)
    chars: int = 0
    tokens: int = 0

    @classmethod
    def of(cls, text: str, chars: int, side: CutSide) -> "_Reading":
        """Return the reading of a text in pieces of at most `chars` characters. Nothing is read yet."""
        pieces, from_end = text_pieces(text, chars), side is CutSide.LEFT
        return cls(
            text=text,
            is_dense=is_dense(text),
            from_end=from_end,
            pieces=iter(list(pieces)[::-1]) if from_end else pieces,
        )

    def next_pieces(self, count: int) -> list[Span]:
        """Return the next pieces. The last piece of a text may be short, so it does not count."""
        return list(islice(self.pieces, count + (self.from_end and not self.read)))

    def add(self, span: Span, encoding: Encoding) -> None:
        """Add the encoding of the next piece."""
        self.read.append((span, encoding))
        self.chars += span[1] - span[0]
        self.tokens += len(encoding)

    def wants_more(self, room: int) -> bool:
        """Return whether the text has a further piece, and the pieces that were read do not exceed the room."""
        return self.tokens <= room and self.chars < len(self.text)

    def in_order(self) -> list[tuple[Span, Encoding]]:
        """Return the pieces that were read, in the order of the text."""
        return self.read[::-1] if self.from_end else self.read


@dataclass(frozen=True, slots=True)
class PieceReader:
    """Tokenizes texts piece by piece. Thread-safe."""

    chars: int
    """Maximum characters of a piece."""
    rates: TokenRates
    """Learn from all texts that are tokenized."""

    def ids(
        self, texts: Sequence[str], encode: Encode, *, room: int = NO_LIMIT, side: CutSide = CutSide.RIGHT, lead: str
    ) -> list[NDArray[np.int64]]:
        """Return the token ids of each text: at least one more than the room, if the text has that many. They are those
        of the side that is kept. `lead` is a text that is tokenized together with the start of each text."""
        if all(len(text) <= self.chars for text in texts):
            return self._whole_ids(texts, encode, lead)
        return [
            _joined([np.array(encoding.ids, np.int64) for _, encoding in reading.in_order()])
            for reading in self._read(texts, encode, room, side, lead)
        ]

    def _whole_ids(self, texts: Sequence[str], encode: Encode, lead: str) -> list[NDArray[np.int64]]:
        """Return the token ids of texts that are one piece each, as most are. Saves the work of dividing them."""
        encodings = encode([lead + text for text in texts] if lead else texts)
        self.rates.learn(
            TokenizedText(is_dense(text), len(lead) + len(text), len(encoding))
            for text, encoding in zip(texts, encodings, strict=True)
        )
        return [np.array(encoding.ids, np.int64) for encoding in encodings]

    def offsets(self, text: str, encode: Encode, *, room: int, side: CutSide) -> NDArray[np.int64]:
        """Return the positions in the text of the tokens that `ids` returns, of shape (tokens, 2)."""
        (reading,) = self._read([text], encode, room, side)
        return _joined([token_spans(encoding, text[slice(*span)]) + span[0] for span, encoding in reading.in_order()])

    def _read(self, texts: Sequence[str], encode: Encode, room: int, side: CutSide, lead: str = "") -> list[_Reading]:
        """Tokenize as many pieces of each text as the room needs, so a document of 1,000,000 characters costs no more
        than its part. If the pieces have too few tokens, further ones are tokenized."""
        readings = [_Reading.of(text, self.chars, side) for text in texts]
        pending, count = readings, max(1, room * _CHARS_PER_TOKEN // self.chars)
        while pending:
            pieces = [(reading, span) for reading in pending for span in reading.next_pieces(count)]
            encodings = encode([_piece(reading.text, span, lead) for reading, span in pieces])
            for (reading, span), encoding in zip(pieces, encodings, strict=True):
                reading.add(span, encoding)
            self.rates.learn(
                TokenizedText(reading.is_dense, end - start, len(encoding))
                for (reading, (start, end)), encoding in zip(pieces, encodings, strict=True)
            )
            pending = [reading for reading in pending if reading.wants_more(room)]
            count *= _CHARS_PER_TOKEN
        return readings


def _piece(text: str, span: Span, lead: str) -> str:
    start, end = span
    piece = text if end - start == len(text) else text[start:end]
    return lead + piece if lead and start == 0 else piece


def _joined(parts: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)
