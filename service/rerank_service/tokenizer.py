"""Text to token ids: the query once, each document once, joined by the model's template."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding, Tokenizer

from rerank_service.batching import EncodedPair, Segment
from rerank_service.errors import BundleInvalid, InvalidRequest
from rerank_service.layout import Layout, own_layout, token_ids, written_layout
from rerank_service.ranking import CutSide
from rerank_service.template import Template

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
    """What precedes the document: the query, and what the template has around it."""
    tail: Segment
    """What follows the document."""
    document_type: int
    """Token type id of a document's tokens."""
    query_tokens: int
    """Tokens of the query alone."""
    room: int
    """Tokens that the window leaves for a document; at least 1."""
    lead: str = ""
    """Text that is tokenized together with each document, before it."""
    lead_tokens: int = 0


class PairTokenizer:
    """The tokenizer of a cross-encoder. All methods may be called from any thread."""

    def __init__(self, path: Path, *, max_tokens: int, template: Template | None = None) -> None:
        """`path` is a tokenizer.json, `max_tokens` what a pair may have, template included. Without a template pairs
        are laid out as the tokenizer itself does.

        Raises:
            BundleInvalid: the file is no tokenizer, or does not lay out a pair in order, or the template leaves no
                room for a pair.
        """
        try:
            self._tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:
            raise BundleInvalid(f"{path} is not a tokenizer: {error}") from error
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self._layout = _layout(self._tokenizer, template, path)
        if self._layout.size >= max_tokens - 1:
            raise BundleInvalid(
                f"{path}: the template alone has {self._layout.size} tokens, and a pair may have {max_tokens}"
            )
        self._tokens_per_char = _TOKENS_PER_CHAR
        self.max_tokens = max_tokens

    def guess(
        self, query: str, max_tokens_per_doc: int | None = None, *, instruction: str = ""
    ) -> Callable[[int], float]:
        """About how many tokens a pair will have, special ones included, by the characters of its document; for a
        query that is too long anyway, none. What is learned later does not change it."""
        rate = self._tokens_per_char
        around = self._layout.size + rate * (len(query) + len(instruction))
        if around > 2 * self.max_tokens:
            around = room = 0.0
        else:
            around = min(around, self.max_tokens - 1)
            room = min(max_tokens_per_doc or self.max_tokens, self.max_tokens - around)
        return lambda chars: around + min(rate * chars, room)

    def encode_query(self, query: str, instruction: str = "") -> EncodedQuery:
        """Encode a query, with the model's own instruction or another.

        Raises:
            InvalidRequest: it leaves no room for a document, or the template has no slot for an instruction.
        """
        layout = self._layout
        head = layout.head(query, instruction)
        around = len(head.segment) - head.query_tokens + layout.lead_tokens + len(layout.tail)
        room = self.max_tokens - around - head.query_tokens
        if room < 1:
            raise InvalidRequest(
                f"query has {head.query_tokens} tokens and leaves no room for a document: a pair may have "
                f"{self.max_tokens} tokens, so a query at most {max(0, self.max_tokens - around - 1)}",
                field="query",
                reason="query_too_long",
            )
        return EncodedQuery(
            head.segment, layout.tail, layout.document_type, head.query_tokens, room, layout.lead, layout.lead_tokens
        )

    def encode_documents(
        self,
        query: EncodedQuery,
        texts: Sequence[str],
        *,
        max_tokens_per_doc: int | None = None,
        cut_side: CutSide = CutSide.RIGHT,
    ) -> list[EncodedPair]:
        """Pair each text with the query, cut on one side to the room there is and to `max_tokens_per_doc`."""
        room = query.lead_tokens + min(query.room, max_tokens_per_doc or query.room)
        cut = partial(_first, room=room)
        if cut_side is CutSide.LEFT:
            lead = token_ids(self._tokenizer, query.lead)
            cut = partial(_last, lead=lead, room=room)
        return [
            EncodedPair(query.head, cut(ids), query.tail, query.document_type, truncated=len(ids) > room)
            for ids in self._encode(texts, room, query.lead, cut_side)
        ]

    def _encode(self, texts: Sequence[str], room: int, lead: str, side: CutSide) -> list[NDArray[np.int64]]:
        """Token ids of each text behind the lead, of a long one only those farthest from the side where it is cut: at
        least one more than the room, if it has so many.

        A text is cut at a blank far behind what can matter, and if that gave too few tokens, farther behind; so a
        document of a million characters costs no more than its window does.
        """
        kept = _head if side is CutSide.RIGHT else _end
        encoded: list[NDArray[np.int64]] = [_NONE] * len(texts)
        pending, chars = list(range(len(texts))), room * _CHARS_A_TOKEN
        while pending:
            parts = [kept(texts[at], chars) for at in pending]
            for at, one in zip(pending, self._batch(parts, lead), strict=True):
                encoded[at] = _ids(one)
            self._learn(sum(map(len, parts)), sum(len(encoded[at]) for at in pending))
            pending = [
                at
                for at, part in zip(pending, parts, strict=True)
                if len(part) < len(texts[at]) and len(encoded[at]) <= room
            ]
            chars *= _CHARS_A_TOKEN
        return encoded

    def _batch(self, texts: Sequence[str], lead: str) -> list[Encoding]:
        led = [lead + text for text in texts] if lead else texts
        return self._tokenizer.encode_batch_fast(led, add_special_tokens=False)

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


def _end(text: str, chars: int) -> str:
    """The text from a blank behind which there are that many characters; from just there, if there is none near."""
    if len(text) <= chars:
        return text
    start = len(text) - chars
    blank = text.find(" ", start, start + chars // 2)
    return text[start if blank < 0 else blank :]


def _first(ids: NDArray[np.int64], room: int) -> NDArray[np.int64]:
    return ids[:room]


def _last(ids: NDArray[np.int64], room: int, lead: NDArray[np.int64]) -> NDArray[np.int64]:
    return ids if len(ids) <= room else np.concatenate([lead, ids[len(ids) + len(lead) - room :]])


def _ids(encoding: Encoding) -> NDArray[np.int64]:
    return np.array(encoding.ids, np.int64)


def _layout(tokenizer: Tokenizer, template: Template | None, path: Path) -> Layout:
    layout = written_layout(tokenizer, template) if template else own_layout(tokenizer)
    if layout is None:
        raise BundleInvalid(f"{path} does not lay out a pair as query, document")
    return layout
