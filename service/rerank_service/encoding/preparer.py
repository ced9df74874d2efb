"""Prepare documents for scoring: read them, tokenize them, split long documents into windows."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from rerank_service.encoding.encoded_query import EncodedQuery
from rerank_service.encoding.pair_key import PairKeys, windows_key
from rerank_service.encoding.reading_plan import ReadingPlan
from rerank_service.encoding.tokenizer import PairTokenizer
from rerank_service.errors import TooLarge
from rerank_service.quantities import counted
from rerank_service.ranking.document import Cut, Document, Reader, SentDocument, Span
from rerank_service.ranking.request import RerankRequest, TooLong
from rerank_service.scheduling.batching import EncodedPair, KeyedPair
from rerank_service.scheduling.stoppable import check_stopped

_REJECT_IF_CUT = {TooLong.REFUSE, TooLong.WHOLE}


@dataclass(frozen=True, slots=True)
class _ReadDocument:
    """A document that was read but not tokenized."""

    index: int
    sent: SentDocument
    document: Document


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedDocument:
    """A document that was read and tokenized."""

    index: int
    """Position of the document in the request, from 0."""
    chars: int
    """Characters, as counted when the document arrived."""
    query_chars: int | None
    """Characters of its own query. None: it has the query of the request."""
    is_dense: bool
    """True if the text has many tokens per character, as noted when the document arrived."""
    document: Document
    pairs: Sequence[KeyedPair]
    """One pair for each window, or the only pair of a document that is not scored in windows."""
    key: bytes
    """Key of the document: documents with equal keys are duplicates."""
    truncated: bool
    """True if the document was cut."""
    query_truncated: bool
    """True if the query was cut."""
    spans: Sequence[Span] = ()
    """Positions of its windows in its text. Empty: it is scored as one pair."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preparer:
    """Prepares the documents of one request. Its methods block, so they run in a worker thread."""

    request: RerankRequest
    plan: ReadingPlan
    plan_of: Callable[[RerankRequest], ReadingPlan]
    """Return the plan of a request: of this one, or of one with the cut of a single document."""
    tokenizer: PairTokenizer
    reader: Reader
    query: EncodedQuery
    keys: PairKeys
    max_chars: int
    """Maximum length of a document, in characters."""

    def prepare(self, sent: Sequence[SentDocument], first: int) -> list[PreparedDocument]:
        """Prepare consecutive documents of the request; `first` is the index of the first one.

        Raises:
            InvalidRequest: a document is invalid or too long; the error names it.
            CallStopped: the request has ended meanwhile.
        """
        documents = [self._read(document, index) for index, document in enumerate(sent, first)]
        return [
            prepared
            for own, group in groupby(documents, key=lambda read: (read.document.query, read.document.cut))
            for prepared in self.with_own(*own).encode(list(group))
        ]

    def _read(self, sent: SentDocument, index: int) -> _ReadDocument:
        check_stopped()
        field = f"documents[{index}]"
        check_chars(field, sent.chars, self.max_chars)  # before the work of reading it
        document = self.reader.read(sent, field)
        check_chars(field, len(document.text), self.max_chars)  # the text of an object can be longer than its parts
        return _ReadDocument(index, sent, document)

    def with_own(self, query: str | None, cut: Cut | None) -> "Preparer":
        """Return the preparer for documents with this query and this cut. None: those of the request."""
        if query is None and cut is None:
            return self
        request, plan = self.request, self.plan
        if cut is not None:
            request = replace(request, too_long=cut.too_long, cut_side=cut.side)
            plan = self.plan_of(request)
        encoded = self.tokenizer.encode_query(query or request.query, request.instruction, plan.pair)
        return replace(self, request=request, plan=plan, query=encoded, keys=self.keys.with_query(encoded))

    def encode(self, documents: Sequence[_ReadDocument]) -> list[PreparedDocument]:
        """Tokenize documents into pairs with the query."""
        check_stopped()
        whole = self.plan.longest_whole(self.query.room)
        pairs = self.tokenizer.encode_documents(
            self.query,
            [read.document.text for read in documents],
            max_tokens_per_doc=min(self.plan.max_tokens, whole),
            cut_side=self.plan.cut_side,
        )
        windows = self.plan.windows and self.plan.max_tokens > whole
        prepared = [
            self._in_windows(read) if pair.truncated and windows else self._in_one_pair(read, pair)
            for read, pair in zip(documents, pairs, strict=True)
        ]
        if self.request.too_long in _REJECT_IF_CUT:
            self._reject_cut(prepared)
        return prepared

    def _in_one_pair(self, read: _ReadDocument, pair: EncodedPair) -> PreparedDocument:
        key = self.keys.of(pair)
        return PreparedDocument(
            index=read.index,
            chars=read.sent.chars,
            query_chars=read.sent.query_chars,
            is_dense=read.sent.is_dense,
            document=read.document,
            pairs=(KeyedPair(read.index, pair, key),),
            key=key,
            truncated=pair.truncated,
            query_truncated=self.query.truncated,
        )

    def _in_windows(self, read: _ReadDocument) -> PreparedDocument:
        encoded = self.tokenizer.encode_windows(self.query, read.document.text, self.plan)
        pairs = [KeyedPair(read.index, pair, self.keys.of(pair)) for pair in encoded.windows]
        return PreparedDocument(
            index=read.index,
            chars=read.sent.chars,
            query_chars=read.sent.query_chars,
            is_dense=read.sent.is_dense,
            document=read.document,
            pairs=pairs,
            key=windows_key([keyed.key for keyed in pairs], encoded.spans),
            truncated=encoded.truncated,
            query_truncated=self.query.truncated,
            spans=encoded.spans,
        )

    def _reject_cut(self, prepared: Sequence[PreparedDocument]) -> None:
        for document in prepared:
            if document.truncated:
                field, bounds = f"documents[{document.index}]", " and ".join(self._bounds())
                raise TooLarge(
                    f"{field} is too long: beside this query, at most {bounds} are read, and the request allows no "
                    "cut: send a shorter document, or allow a cut by the field truncate, truncation or too_long",
                    field=field,
                    reason="document_too_long",
                )

    def _bounds(self) -> Iterator[str]:
        plan = self.plan
        if not plan.windows:
            yield counted(min(self.query.room, plan.max_tokens), "token")
            return
        yield counted(plan.max_tokens, "token")
        if plan.max_windows is not None:
            yield counted(plan.max_windows, "window")


def check_chars(field: str, chars: int, limit: int) -> None:
    """Check the length of a text.

    Raises:
        TooLarge: the text has more than `limit` characters.
    """
    if chars > limit:
        raise TooLarge(
            f"{field} has {counted(chars, 'character')}; the maximum is {limit:,}: send a shorter text", field=field
        )
