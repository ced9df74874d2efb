"""Documents of one request as they arrive: count them, note their lengths, split them into parts."""

from collections.abc import AsyncIterable, AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from rerank_service.encoding.token_estimate import TokenEstimate
from rerank_service.errors import InvalidRequest, TooLarge
from rerank_service.long_work import MANY_ITEMS, in_thread
from rerank_service.quantities import counted
from rerank_service.ranking.document import Reader, SentDocument
from rerank_service.ranking.limits import RequestLimits
from rerank_service.ranking.parts import parts_of
from rerank_service.ranking.request import RerankRequest


def check_count(count: int, limit: int) -> None:
    """Check the number of documents.

    Raises:
        InvalidRequest: there are no documents.
        TooLarge: there are more than `limit`.
    """
    if not count:
        raise InvalidRequest("documents must not be empty", field="documents", reason="empty_documents")
    if count > limit:
        raise TooLarge(
            f"documents has {counted(count, 'entry')}; the maximum is {limit:,}: send fewer documents in one request",
            field="documents",
            reason="too_many_documents",
        )


def items(documents: Sequence[Any], reader: Reader) -> int:
    """Return the size of the work to note the lengths of documents, for `in_thread`: at least `MANY_ITEMS` if it is
    large. Then, further documents are not looked at."""
    count = 0
    for document in documents:
        if count >= MANY_ITEMS:
            break
        count += reader.items(document)
    return count


def measured(documents: Sequence[Any], reader: Reader) -> list[SentDocument]:
    """Return documents with their lengths. Each is looked at once."""
    return [_measured(raw, reader) for raw in documents]


def _measured(raw: Any, reader: Reader) -> SentDocument:
    chars, is_dense = reader.length(raw)
    return SentDocument(raw, chars, reader.query_chars(raw), is_dense)


@dataclass(frozen=True, slots=True, kw_only=True)
class SizedDocuments:
    """Documents with their lengths and their estimated tokens."""

    sent: list[SentDocument]
    tokens: float
    """Estimated tokens of all pairs of the documents."""
    highlight_tokens: float
    """Estimated tokens of the sentences to highlight."""
    pair_tokens: float
    """Estimated tokens of an average document, and at most those of the longest pair: the other tokens of a document
    are in other windows."""


def sized(documents: Sequence[Any], reader: Reader, request: RerankRequest, estimate: TokenEstimate) -> SizedDocuments:
    """Return documents with their lengths and their estimated tokens."""
    sent = measured(documents, reader)
    tokens = estimate.total(sent)
    return SizedDocuments(
        sent=sent,
        tokens=tokens,
        highlight_tokens=estimate.highlights(request, sent),
        pair_tokens=min(tokens / len(sent), estimate.longest_pair(sent)),
    )


async def once(documents: Sequence[SentDocument]) -> AsyncIterator[Sequence[SentDocument]]:
    """Yield documents that have all arrived, as one chunk."""
    yield documents


async def checked(
    chunks: AsyncIterable[Sequence[Any]], reader: Reader, limit: int
) -> AsyncIterator[Sequence[SentDocument]]:
    """Yield the chunks of a stream.

    Raises:
        InvalidRequest: the stream has no documents, or too many.
    """
    count = 0
    async for documents in chunks:
        count += len(documents)
        if documents:
            check_count(count, limit)
            yield await in_thread(partial(measured, documents, reader), items(documents, reader))
    check_count(count, limit)


def parts(sent: Sequence[SentDocument], limits: RequestLimits) -> Iterator[list[SentDocument]]:
    """Split documents into parts, each short enough to be tokenized in one step."""
    return parts_of(sent, _chars, max_items=limits.part_documents, max_chars=limits.part_chars)


def _chars(document: SentDocument) -> int:
    return document.chars + (document.query_chars or 0)
