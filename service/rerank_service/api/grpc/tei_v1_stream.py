"""Requests and streams of tei.v1. Each message of a stream has one text, and its own query and truncation."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager

from rerank.tei import tei_pb2 as pb
from rerank_service.api.grpc.enums import enum_member
from rerank_service.errors import InvalidRequest, TooLarge
from rerank_service.quantities import counted
from rerank_service.ranking.limits import RequestLimits
from rerank_service.ranking.request import CutSide, RerankRequest, TooLong
from rerank_service.ranking.scores import ScoreType

_CUT_SIDES = {pb.TRUNCATION_DIRECTION_RIGHT: CutSide.RIGHT, pb.TRUNCATION_DIRECTION_LEFT: CutSide.LEFT}

Message = pb.RerankRequest | pb.RerankStreamRequest


def request_from(message: Message, first: Message) -> RerankRequest:
    """Return the request of a message. `raw_scores` and `return_text` are those of the first message of the stream.

    Raises:
        InvalidRequest: the query is empty, or `truncation_direction` has an unknown value.
    """
    return RerankRequest(
        query=message.query,
        return_documents=first.return_text,
        too_long=TooLong.CUT if message.truncate else TooLong.REFUSE,
        cut_side=enum_member(message, "truncation_direction", _CUT_SIDES),
        score_type=ScoreType.RAW if first.raw_scores else ScoreType.PROBABILITY,
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
            raise entry
        self._queue.put_nowait(entry)  # the end, for the next call
        return taken


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


class TextRuns:
    """A stream split into runs. A run is a sequence of texts with the same query and options: one request."""

    def __init__(self, messages: ReadAheadBuffer, limits: RequestLimits) -> None:
        self._messages = messages
        self._limits = limits
        self._first = pb.RerankStreamRequest()
        self._pending: deque[pb.RerankStreamRequest] = deque()
        self._texts = 0
        self._returned_chars = 0
        self.chars = 0
        """Characters of all queries and texts so far."""

    async def begin(self) -> None:
        """Wait for the first message.

        Raises:
            InvalidRequest: the stream is empty.
        """
        self._pending.extend(await self._messages.take())
        if not self._pending:
            raise InvalidRequest("The stream is empty: send at least one text.", field="text", reason="empty_stream")
        self._first = self._pending[0]

    async def __aiter__(self) -> AsyncIterator[tuple[RerankRequest, AsyncIterator[Sequence[str]]]]:
        """Yield the request and the texts of each run. Read all texts of a run before the next run."""
        while self._pending:
            request = request_from(self._pending[0], self._first)
            yield request, self._run(request)

    async def _run(self, request: RerankRequest) -> AsyncIterator[Sequence[str]]:
        while texts := list(self._take(request)):
            yield texts
            if not self._pending:
                self._pending.extend(await self._messages.take())

    def _take(self, request: RerankRequest) -> Iterator[str]:
        while self._pending and request_from(self._pending[0], self._first) == request:
            message = self._pending.popleft()
            self._count(message)
            yield message.text

    def _count(self, message: pb.RerankStreamRequest) -> None:
        """Count a text, and check the limits of the stream. The reranker checks the same limits for each run."""
        self._texts += 1
        self.chars += len(message.query) + len(message.text)
        self._returned_chars += len(message.text) if self._first.return_text else 0
        limits = self._limits
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
