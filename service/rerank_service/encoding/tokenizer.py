"""Text to token ids: the query once, each document once, joined by the model's template."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding, Tokenizer

from rerank_service.encoding.pair_layout import Layout, own_layout, token_ids, written_layout
from rerank_service.encoding.template import Template
from rerank_service.encoding.windows import Reading, spans
from rerank_service.errors import BundleInvalid, InvalidRequest
from rerank_service.quantities import counted
from rerank_service.ranking.document import Span
from rerank_service.ranking.request import CutSide
from rerank_service.scheduling.batching import EncodedPair, Segment

_TOKENS_PER_CHAR = 0.25
"""Of English text; what the server really gets is learned."""
_CHARS_A_TOKEN = 16
"""More than words have, so that one look at the beginning of a text is nearly always enough."""
_LEAST_CHARS = 2_048
"""Of a look, however little is read: a word is unknown as a whole where it is long, and must not be known by a part."""
_NOTHING = ("", Encoding())
_LEAST_ROOM = 0.25
"""Of a pair."""
_NEW_TEXTS = 0.1
"""How much the texts of one call count against all before, at most."""

Encode = Callable[[Sequence[str]], list[Encoding]]


@dataclass(frozen=True, slots=True)
class EncodedWindows:
    """A document in windows."""

    windows: Sequence[EncodedPair]
    spans: Sequence[Span]
    """Where each stands in the text."""
    truncated: bool
    """Whether there is more of the document than the windows hold."""


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


class TokenRate:
    """Tokens per character: at first that of English text, then learned from the texts that are read."""

    def __init__(self) -> None:
        self.tokens_per_char = _TOKENS_PER_CHAR

    def learn(self, chars: int, tokens: int) -> None:
        """By as much as was read, and within what texts have: a caller's odd ones shall not steer others' guesses."""
        if chars:
            weight = min(_NEW_TEXTS, chars / 50_000)
            rate = min(1.0, max(0.15, tokens / chars))
            self.tokens_per_char += weight * (rate - self.tokens_per_char)


class PairTokenizer:
    """The tokenizer of a cross-encoder. All methods may be called from any thread."""

    def __init__(
        self, path: Path, *, max_tokens: int, template: Template | None = None, rate: TokenRate | None = None
    ) -> None:
        """`path` is a tokenizer.json, `max_tokens` what a pair may have, template included. Without a template pairs
        are laid out as the tokenizer itself does. `rate` learns from each text that is read.

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
                f"{path}: the template alone has {counted(self._layout.size, 'token')}, and a pair may have "
                f"{max_tokens:,}"
            )
        self._rate = rate or TokenRate()
        self.max_tokens = max_tokens

    def guess(self, query: str, reading: Reading, *, instruction: str = "") -> Callable[[int], float]:
        """About how many tokens the pairs of a document will have, special ones included, by its characters; for a
        query that is too long anyway, none. What is learned later does not change it."""
        rate = self._rate.tokens_per_char
        around = self._layout.size + rate * (len(query) + len(instruction))
        if around > 2 * self.max_tokens:
            return lambda _: 0.0
        around = min(around, self.max_tokens - 1)
        room = self.max_tokens - around

        def tokens(chars: int) -> float:
            document = min(rate * chars, reading.max_tokens)
            if not reading.windows or document <= room:
                return around + min(document, room)
            # where little room seems to be left, that is as likely a wrong guess of the query
            return reading.tokens(document, around, max(room, _LEAST_ROOM * self.max_tokens))

        return tokens

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
                f"query has {counted(head.query_tokens, 'token')} and leaves no room for a document: a pair may have "
                f"{counted(self.max_tokens, 'token')}, so a query at most {max(0, self.max_tokens - around - 1):,}",
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
            EncodedPair(query.head, cut(_ids(one)), query.tail, query.document_type, truncated=len(one) > room)
            for _, one in self._read(texts, room, cut_side, partial(self._batch, lead=query.lead))
        ]

    def encode_windows(self, query: EncodedQuery, text: str, reading: Reading) -> EncodedWindows:
        """A text that is longer than the room there is, in windows. Each is tokenized by itself, so that it scores as
        it would as a document of its own."""
        ((part, encoding),) = self._read([text], reading.max_tokens, reading.side, self._placed)
        offsets = np.array(encoding.offsets, np.int64)
        if reading.side is CutSide.LEFT:
            offsets += len(text) - len(part)
        read, size = reading.kept(offsets), reading.size(query.room)
        found = spans(text, read, size=size, overlap=reading.shared(size))
        chosen = reading.most(found)
        fitting = list(self._fitting(query, text, chosen))
        kept = reading.most(fitting)
        pairs = [
            EncodedPair(query.head, ids, query.tail, query.document_type, window=window)
            for window, (_, ids) in enumerate(kept)
        ]
        truncated = len(read) < len(offsets) or len(chosen) < len(found) or len(kept) < len(fitting)
        return EncodedWindows(pairs, [span for span, _ in kept], truncated)

    def _fitting(
        self, query: EncodedQuery, text: str, found: Sequence[Span]
    ) -> Iterator[tuple[Span, NDArray[np.int64]]]:
        """The windows with their token ids; one that has more of them by itself than as a part is halved."""
        full = query.lead_tokens + query.room
        encoded = self._batch([text[start:end] for start, end in found], query.lead)
        for (start, end), one in zip(found, encoded, strict=True):
            ids = _ids(one)
            if len(ids) <= full or end - start == 1:
                yield (start, end), ids[:full]
            else:
                middle = (start + end) // 2
                yield from self._fitting(query, text, [(start, middle), (middle, end)])

    def _read(self, texts: Sequence[str], room: int, side: CutSide, encode: Encode) -> list[tuple[str, Encoding]]:
        """Each text, of a long one only the part farthest from the side where it is cut, with its tokens: at least one
        more than the room, if it has so many.

        A text is cut at a blank far behind what can matter, and if that gave too few tokens, farther behind; so a
        document of a million characters costs no more than what is read of it.
        """
        kept = _head if side is CutSide.RIGHT else _end
        read: list[tuple[str, Encoding]] = [_NOTHING] * len(texts)
        pending, chars = list(range(len(texts))), max(_LEAST_CHARS, room * _CHARS_A_TOKEN)
        while pending:
            parts = [kept(texts[at], chars) for at in pending]
            for at, part, encoding in zip(pending, parts, encode(parts), strict=True):
                read[at] = part, encoding
            self._rate.learn(sum(map(len, parts)), sum(len(read[at][1]) for at in pending))
            pending = [
                at
                for at, part in zip(pending, parts, strict=True)
                if len(part) < len(texts[at]) and len(read[at][1]) <= room
            ]
            chars *= _CHARS_A_TOKEN
        return read

    def _batch(self, texts: Sequence[str], lead: str = "") -> list[Encoding]:
        led = [lead + text for text in texts] if lead else texts
        return self._tokenizer.encode_batch_fast(led, add_special_tokens=False)

    def _placed(self, texts: Sequence[str]) -> list[Encoding]:
        """With where each token stands in its text, which costs more."""
        return self._tokenizer.encode_batch(texts, add_special_tokens=False)


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
