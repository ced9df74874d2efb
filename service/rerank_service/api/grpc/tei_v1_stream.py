"""Requests and streams of tei.v1. Each message of a stream has one text, and its own query and truncation."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from rerank.tei import tei_pb2 as pb
from rerank_service.api.grpc.enums import enum_member
from rerank_service.encoding.preparer import check_chars
from rerank_service.encoding.text_length import text_length
from rerank_service.errors import InvalidRequest, TooLarge
from rerank_service.quantities import counted
from rerank_service.ranking.document import Cut, Document, Reader, SentDocument, TextLength
from rerank_service.ranking.limits import RequestLimits
from rerank_service.ranking.request import CutSide, RerankRequest, TooLong, check_query
from rerank_service.ranking.scores import ScoreType

_CUT_SIDES = {pb.TRUNCATION_DIRECTION_RIGHT: CutSide.RIGHT, pb.TRUNCATION_DIRECTION_LEFT: CutSide.LEFT}

Message = pb.RerankRequest | pb.RerankStreamRequest


def request_from(message: Message) -> RerankRequest:
    """Return the request of a message: the only one, or the first of a stream.

    Raises:
        InvalidRequest: the query is empty, or `truncation_direction` has an unknown value.
    """
    cut = _cut(message)
    return RerankRequest(
        query=message.query,
        return_documents=message.return_text,
        too_long=cut.too_long,
        cut_side=cut.side,
        score_type=ScoreType.RAW if message.raw_scores else ScoreType.PROBABILITY,
    )


def _cut(message: Message) -> Cut:
    side = enum_member(message, "truncation_direction", _CUT_SIDES)
    return Cut(TooLong.CUT if message.truncate else TooLong.REFUSE, side)


@dataclass(frozen=True, slots=True)
class StreamReader(Reader):
    """Reads the messages of a stream. Each is a document with its own query and cut."""

    first: pb.RerankStreamRequest
    """The first message. Its query and its cut are those of the request."""

    def length(self, raw: pb.RerankStreamRequest) -> TextLength:
        """Return the length of the text."""
        return text_length(raw.text)

    def query_chars(self, raw: pb.RerankStreamRequest) -> int | None:
        """Return the length of a message's own query in characters. None: it has the query of the request."""
        return None if raw.query == self.first.query else len(raw.query)

    def read(self, sent: SentDocument, field: str) -> Document:  # noqa: ARG002 - a string is always valid
        """Return the text with its own query and cut, if they differ from those of the request."""
        message: pb.RerankStreamRequest = sent.raw
        cut = _cut(message)
        return Document(
            message.text,
            original=message.text,
            size=sent.chars,
            query=None if message.query == self.first.query else message.query,
            cut=None if cut == _cut(self.first) else cut,
        )


class ReadAheadBuffer:
    """Messages that are read while earlier ones are scored: many short texts, or one long text."""

    def __init__(self, limits: RequestLimits) -> None:
        self._queue: asyncio.Queue[pb.RerankStreamRequest | Exception | None] = asyncio.Queue(limits.part_documents)
        self._short = limits.part_chars // limits.part_documents
        """Maximum number of characters of a short message."""

    async def fill(self, messages: AsyncIterator[pb.RerankStreamRequest]) -> None:
        """Read all messages. Wait while the buffer is full, and after a long message until the buffer is empty."""
        try:
            async for message in messages:
                await self._queue.put(message)
                if len(message.query) + len(message.text) > self._short:
                    await self._queue.join()
        except Exception as error:  # noqa: BLE001 - raised again where the messages are taken
            await self._queue.put(error)
        else:
            await self._queue.put(None)

    async def take(self) -> list[pb.RerankStreamRequest]:
        """Wait for the next message, and return it with all others in the buffer. Return none at the end."""
        taken: list[pb.RerankStreamRequest] = []
        while isinstance(entry := await self._queue.get(), pb.RerankStreamRequest):
            self._queue.task_done()
            taken.append(entry)
            if self._queue.empty():
                return taken
        if isinstance(entry, Exception):
            try:
                raise entry
            finally:
                del entry  # the error leads to this frame: kept, only the garbage collector would free both
        self._queue.put_nowait(entry)  # the end, for the next call
        return taken

    def clear(self) -> None:
        """Drop the entries that were not taken. An error among them leads to this buffer: kept, only the garbage
        collector would free both."""
        while not self._queue.empty():
            self._queue.get_nowait()


@asynccontextmanager
async def read_ahead(
    messages: AsyncIterator[pb.RerankStreamRequest], limits: RequestLimits
) -> AsyncIterator[ReadAheadBuffer]:
    """Read messages into a buffer while the block runs."""
    buffer = ReadAheadBuffer(limits)
    reader = asyncio.create_task(buffer.fill(messages))
    try:
        yield buffer
    finally:
        reader.cancel()
        await asyncio.wait([reader])
        buffer.clear()


class TextStream:
    """The messages of a stream, in chunks, and the request that they make together."""

    def __init__(self, messages: ReadAheadBuffer, limits: RequestLimits) -> None:
        self._messages = messages
        self._limits = limits
        self._taken: list[pb.RerankStreamRequest] = []
        self._texts = 0
        self._returned_chars = 0
        self.first = pb.RerankStreamRequest()
        """The first message. Its `raw_scores` and `return_text` apply to the whole stream."""
        self.chars = 0
        """Characters of all queries and texts so far."""

    async def begin(self) -> None:
        """Wait for the first message.

        Raises:
            InvalidRequest: the stream is empty.
        """
        self._taken = await self._messages.take()
        if not self._taken:
            raise InvalidRequest("The stream is empty: send at least one text.", field="text", reason="empty_stream")
        self.first = self._taken[0]

    async def __aiter__(self) -> AsyncIterator[Sequence[pb.RerankStreamRequest]]:
        """Yield the messages from the first one on.

        Raises:
            InvalidRequest: a message is invalid, or the stream exceeds a limit of the server.
        """
        while self._taken:
            for message in self._taken:
                self._check(message)
            yield self._taken
            self._taken = await self._messages.take()

    def _check(self, message: pb.RerankStreamRequest) -> None:
        """Count a text, and check the limits of the stream, with TEI's names in errors."""
        limits = self._limits
        check_query(message.query)
        check_chars("query", len(message.query), limits.max_query_chars)
        enum_member(message, "truncation_direction", _CUT_SIDES)
        self._texts += 1
        self.chars += len(message.query) + len(message.text)
        self._returned_chars += len(message.text) if self.first.return_text else 0
        if self._texts > limits.max_stream_documents:
            raise TooLarge(
                f"The stream has more than {counted(limits.max_stream_documents, 'text')}, the limit of the server: "
                "send the others in another stream.",
                field="text",
                reason="too_many_documents",
            )
        if self._returned_chars > limits.max_kept_bytes:
            raise TooLarge(
                f"return_text would keep more than {counted(limits.max_kept_bytes, 'character')} of texts in memory: "
                "set it to false",
                field="return_text",
            )
