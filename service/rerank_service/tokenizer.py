"""Text to token ids: the query once, each document once, joined by the model's own pair template."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding, Tokenizer

from rerank_service.batching import EncodedPair, Segment
from rerank_service.errors import BundleInvalid, InvalidRequest

_TOKENS_PER_CHAR = 0.25
"""Of English text; what the server really gets is learned."""
_CHARS_A_TOKEN = 16
"""More than words have, so that one look at the beginning of a text is nearly always enough."""
_NONE: NDArray[np.int64] = np.array([], np.int64)
_NEW_TEXTS = 0.1
"""How much the texts of one call count against all before, at most."""


@dataclass(frozen=True, slots=True)
class EncodedQuery:
    """A query with the template around it."""

    head: Segment
    """Special tokens before and after the query, and the query."""
    tail: Segment
    """Special tokens after the document."""
    document_type: int
    """Token type id of a document's tokens."""
    query_tokens: int
    """Tokens of the query alone."""
    room: int
    """Tokens that the window leaves for a document; at least 1."""


@dataclass(frozen=True, slots=True)
class _Template:
    """The special tokens around a pair: before the query, between, after the document."""

    before: Segment
    between: Segment
    after: Segment
    query_type: int
    document_type: int

    def __len__(self) -> int:
        return len(self.before) + len(self.between) + len(self.after)


class PairTokenizer:
    """The tokenizer of a cross-encoder. All methods may be called from any thread."""

    def __init__(self, path: Path, *, max_tokens: int) -> None:
        """`path` is a tokenizer.json, `max_tokens` what a pair may have, special tokens included.

        Raises:
            BundleInvalid: the file is no tokenizer, or its template does not lay out a pair in order.
        """
        try:
            self._tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:
            raise BundleInvalid(f"{path} is not a tokenizer: {error}") from error
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self._template = _template(self._tokenizer, path)
        self._tokens_per_char = _TOKENS_PER_CHAR
        self.max_tokens = max_tokens

    def guess(self, query: str, max_tokens_per_doc: int | None = None) -> Callable[[int], float]:
        """About how many tokens a pair will have, special ones included, by the characters of its document; for a
        query that is too long anyway, none. What is learned later does not change it."""
        rate = self._tokens_per_char
        around = len(self._template) + rate * len(query)
        if around > 2 * self.max_tokens:
            around = room = 0.0
        else:
            around = min(around, self.max_tokens - 1)
            room = min(max_tokens_per_doc or self.max_tokens, self.max_tokens - around)
        return lambda chars: around + min(rate * chars, room)

    def encode_query(self, query: str) -> EncodedQuery:
        """Encode a query.

        Raises:
            InvalidRequest: it leaves no room for a document.
        """
        ids = _ids(self._tokenizer.encode(query, add_special_tokens=False))
        template = self._template
        room = self.max_tokens - len(template) - len(ids)
        if room < 1:
            raise InvalidRequest(
                f"query has {len(ids)} tokens and leaves no room for a document: a pair may have "
                f"{self.max_tokens} tokens, so a query at most {self.max_tokens - len(template) - 1}",
                field="query",
                reason="query_too_long",
            )
        head = _join(template.before, _segment(ids, template.query_type), template.between)
        return EncodedQuery(head, template.after, template.document_type, len(ids), room)

    def encode_documents(
        self, query: EncodedQuery, texts: Sequence[str], *, max_tokens_per_doc: int | None = None
    ) -> list[EncodedPair]:
        """Pair each text with the query, cut to the room there is and to `max_tokens_per_doc`."""
        room = min(query.room, max_tokens_per_doc or query.room)
        return [
            EncodedPair(query.head, ids[:room], query.tail, query.document_type, truncated=len(ids) > room)
            for ids in self._encode(texts, room)
        ]

    def _encode(self, texts: Sequence[str], room: int) -> list[NDArray[np.int64]]:
        """Token ids of each text, of a long one only the first: at least one more than the room, if it has so many.

        A text is cut at a blank far behind what can matter, and if that gave too few tokens, farther behind; so a
        document of a million characters costs no more than its window does.
        """
        encoded: list[NDArray[np.int64]] = [_NONE] * len(texts)
        pending, chars = list(range(len(texts))), room * _CHARS_A_TOKEN
        while pending:
            heads = [_head(texts[at], chars) for at in pending]
            for at, one in zip(
                pending, self._tokenizer.encode_batch_fast(heads, add_special_tokens=False), strict=True
            ):
                encoded[at] = _ids(one)
            self._learn(sum(map(len, heads)), sum(len(encoded[at]) for at in pending))
            pending = [
                at
                for at, head in zip(pending, heads, strict=True)
                if len(head) < len(texts[at]) and len(encoded[at]) <= room
            ]
            chars *= _CHARS_A_TOKEN
        return encoded

    def _learn(self, chars: int, tokens: int) -> None:
        """By as much as was read, and within what texts have: a caller's odd ones shall not steer others' guesses."""
        if chars:
            weight = min(_NEW_TEXTS, chars / 50_000)
            rate = min(1.0, max(0.15, tokens / chars))
            self._tokens_per_char += weight * (rate - self._tokens_per_char)


def _head(text: str, chars: int) -> str:
    """The text up to a blank before that many characters; up to just there, if there is none near."""
    if len(text) <= chars:
        return text
    blank = text.rfind(" ", chars // 2, chars)
    return text[: chars if blank < 0 else blank]


def _ids(encoding: Encoding) -> NDArray[np.int64]:
    return np.array(encoding.ids, np.int64)


def _segment(ids: NDArray[np.int64], token_type: int) -> Segment:
    return Segment(ids, np.full(len(ids), token_type, np.int64))


def _join(*segments: Segment) -> Segment:
    return Segment(
        np.concatenate([segment.ids for segment in segments]),
        np.concatenate([segment.type_ids for segment in segments]),
    )


def _template(tokenizer: Tokenizer, path: Path) -> _Template:
    """Read the template off a probe pair; its tokens know which of the two sequences they belong to."""
    probe = tokenizer.encode("a", "b")
    query = [at for at, sequence in enumerate(probe.sequence_ids) if sequence == 0]
    document = [at for at, sequence in enumerate(probe.sequence_ids) if sequence == 1]
    if not query or not document or query[-1] > document[0]:
        raise BundleInvalid(f"{path} does not lay out a pair as query, document")

    def part(start: int, end: int | None) -> Segment:
        return Segment(np.array(probe.ids[start:end], np.int64), np.array(probe.type_ids[start:end], np.int64))

    return _Template(
        part(0, query[0]),
        part(query[-1] + 1, document[0]),
        part(document[-1] + 1, None),
        probe.type_ids[query[0]],
        probe.type_ids[document[0]],
    )
