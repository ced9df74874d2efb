"""Turn documents as they were sent into pairs to score: read them, tokenize them, split long ones into windows."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from rerank_service.encoding.pair_key import PairKeys, windows_key
from rerank_service.encoding.tokenizer import EncodedQuery, PairTokenizer
from rerank_service.encoding.windows import Reading
from rerank_service.errors import TooLarge
from rerank_service.quantities import counted
from rerank_service.ranking.document import Document, Reader, SentDocument, Span
from rerank_service.ranking.request import RerankRequest, TooLong
from rerank_service.scheduling.batching import EncodedPair

Keyed = tuple[int, EncodedPair, bytes]
"""A document's index, a pair of it, and the pair's key."""

_UNCUT = {TooLong.REFUSE, TooLong.WHOLE}


@dataclass(frozen=True, slots=True)
class Prepared:
    """A document that was read and tokenized."""

    index: int
    """Position in the request's documents, from 0."""
    chars: int
    """Characters, as they were counted when the document arrived."""
    document: Document
    pairs: Sequence[Keyed]
    """One, or one for each window."""
    key: bytes
    """The document's own."""
    truncated: bool
    spans: Sequence[Span] = ()
    """Where its windows stand in its text, where there are several."""


@dataclass(frozen=True, slots=True)
class _Arrived:
    """A document that was read, with its place in the request."""

    index: int
    chars: int
    document: Document


@dataclass(frozen=True, slots=True, kw_only=True)
class Preparer:
    """Prepares the documents of one request. The work blocks, so it runs in a worker thread."""

    request: RerankRequest
    reading: Reading
    tokenizer: PairTokenizer
    reader: Reader
    query: EncodedQuery
    keys: PairKeys
    max_chars: int

    def prepare(self, sent: Sequence[SentDocument], first: int) -> list[Prepared]:
        """Prepare documents that follow one another in the request, from the index `first` on.

        Raises:
            InvalidRequest: a document is wrong or too long; the error names it.
        """
        arrived = [self._read(document, index) for index, document in enumerate(sent, first)]
        return [
            prepared
            for query, run in groupby(arrived, key=lambda one: one.document.query)
            for prepared in self._for(query).pair(list(run))
        ]

    def _for(self, query: str | None) -> "Preparer":
        """For documents with a query of their own."""
        if query is None:
            return self
        encoded = self.tokenizer.encode_query(query, self.request.instruction)
        return replace(self, query=encoded, keys=self.keys.with_query(encoded))

    def pair(self, arrived: Sequence[_Arrived]) -> list[Prepared]:
        """Pair documents with the query."""
        pairs = self.tokenizer.encode_documents(
            self.query,
            [one.document.text for one in arrived],
            max_tokens_per_doc=self.reading.max_tokens,
            cut_side=self.reading.side,
        )
        windows = self.reading.windows and self.reading.max_tokens > self.query.room
        prepared = [
            self._windowed(one) if pair.truncated and windows else self._whole(one, pair)
            for one, pair in zip(arrived, pairs, strict=True)
        ]
        if self.request.too_long in _UNCUT:
            self._refuse_cut(prepared)
        return prepared

    def _read(self, sent: SentDocument, index: int) -> _Arrived:
        field = f"documents[{index}]"
        check_chars(field, sent.chars, self.max_chars)  # before the work of reading it
        document = self.reader.read(sent, field)
        check_chars(field, len(document.text), self.max_chars)  # an object's text can be longer than its parts
        return _Arrived(index, sent.chars, document)

    def _whole(self, one: _Arrived, pair: EncodedPair) -> Prepared:
        key = self.keys.of(pair)
        return Prepared(one.index, one.chars, one.document, ((one.index, pair, key),), key, pair.truncated)

    def _windowed(self, one: _Arrived) -> Prepared:
        encoded = self.tokenizer.encode_windows(self.query, one.document.text, self.reading)
        pairs = [(one.index, pair, self.keys.of(pair)) for pair in encoded.windows]
        key = windows_key([key for *_, key in pairs], encoded.spans)
        return Prepared(one.index, one.chars, one.document, pairs, key, encoded.truncated, encoded.spans)

    def _refuse_cut(self, prepared: Sequence[Prepared]) -> None:
        for one in prepared:
            if one.truncated:
                field, bounds = f"documents[{one.index}]", " and ".join(self._bounds())
                raise TooLarge(
                    f"{field} is too long: at most {bounds} are read, and it is not to be cut",
                    field=field,
                    reason="document_too_long",
                )

    def _bounds(self) -> Iterator[str]:
        reading = self.reading
        if not reading.windows:
            yield counted(min(self.query.room, reading.max_tokens), "token")
            return
        yield counted(reading.max_tokens, "token")
        if reading.max_windows is not None:
            yield counted(reading.max_windows, "window")


def check_chars(field: str, chars: int, limit: int) -> None:
    """Raises TooLarge where a text is over its bound."""
    if chars > limit:
        raise TooLarge(f"{field} has {counted(chars, 'character')}; at most {limit:,} are read", field=field)
