"""What messages of tei.v1 ask, and its streams, each message of which may ask something else."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager

from rerank.tei import tei_pb2 as pb
from rerank_service.errors import InvalidRequest, TooLarge
from rerank_service.quantities import counted
from rerank_service.ranking.limits import RequestLimits
from rerank_service.ranking.request import CutSide, RerankRequest, TooLong
from rerank_service.ranking.scores import ScoreType

_CUT_SIDES = {pb.TRUNCATION_DIRECTION_RIGHT: CutSide.RIGHT, pb.TRUNCATION_DIRECTION_LEFT: CutSide.LEFT}

Message = pb.RerankRequest | pb.RerankStreamRequest


def request_from(message: Message, first: Message) -> RerankRequest:
    """What a message asks; scores and what comes back are as the first one asked.

    Raises:
        InvalidRequest: a field is wrong.
    """
    if message.truncation_direction not in _CUT_SIDES:
        raise InvalidRequest(
            f"truncation_direction has no value {message.truncation_direction}",
            field="truncation_direction",
            reason="out_of_range",
        )
    return RerankRequest(
        query=message.query,
        return_documents=first.return_text,
        too_long=TooLong.CUT if message.truncate else TooLong.REFUSE,
        cut_side=_CUT_SIDES[message.truncation_direction],
        score_type=ScoreType.RAW if first.raw_scores else ScoreType.PROBABILITY,
    )


class Ahead:
    """Messages that are read while those before them are worked on, as each is but one text: a chunk of short ones, of
    long ones one."""

    def __init__(self, limits: RequestLimits) -> None:
        self._queue: asyncio.Queue[pb.RerankStreamRequest | Exception | None] = asyncio.Queue(limits.part_documents)
        self._short = limits.part_chars // limits.part_documents

    async def read(self, messages: AsyncIterator[pb.RerankStreamRequest]) -> None:
        """Read as long as there is room."""
        try:
            async for message in messages:
                await self._queue.put(message)
                if len(message.query) + len(message.text) > self._short:
                    await self._queue.join()
        except Exception as error:  # noqa: BLE001 - raised again where the messages are taken
            await self._queue.put(error)
        else:
            await self._queue.put(None)

    async def more(self) -> list[pb.RerankStreamRequest]:
        """Those that have come since; at the end there are none."""
        taken = []
        while isinstance(one := await self._queue.get(), pb.RerankStreamRequest):
            self._queue.task_done()
            taken.append(one)
            if self._queue.empty():
                return taken
        if isinstance(one, Exception):
            raise one
        self._queue.put_nowait(one)  # the end, to be found again
        return taken


@asynccontextmanager
async def read_ahead(messages: AsyncIterator[pb.RerankStreamRequest], limits: RequestLimits) -> AsyncIterator[Ahead]:
    """Read beside the block."""
    ahead = Ahead(limits)
    reader = asyncio.create_task(ahead.read(messages))
    try:
        yield ahead
    finally:
        reader.cancel()
        await asyncio.wait([reader])


class Runs:
    """A stream as runs of texts that ask the same: each message has a query, and a cut, of its own."""

    def __init__(self, messages: Ahead, limits: RequestLimits) -> None:
        self._messages = messages
        self._limits = limits
        self._first = pb.RerankStreamRequest()
        self._here: deque[pb.RerankStreamRequest] = deque()
        self._texts = 0
        self._kept = 0
        self.chars = 0
        """Of all queries and texts so far."""

    async def begin(self) -> None:
        """Wait for the first message.

        Raises:
            InvalidRequest: there is none.
        """
        self._here.extend(await self._messages.more())
        if not self._here:
            raise InvalidRequest("a stream must hold at least one text", field="text", reason="empty_stream")
        self._first = self._here[0]

    async def __aiter__(self) -> AsyncIterator[tuple[RerankRequest, AsyncIterator[Sequence[str]]]]:
        """What each run asks, and its texts, which must be read before the next."""
        while self._here:
            request = request_from(self._here[0], self._first)
            yield request, self._run(request)

    async def _run(self, request: RerankRequest) -> AsyncIterator[Sequence[str]]:
        while texts := list(self._take(request)):
            yield texts
            if not self._here:
                self._here.extend(await self._messages.more())

    def _take(self, request: RerankRequest) -> Iterator[str]:
        while self._here and request_from(self._here[0], self._first) == request:
            message = self._here.popleft()
            self._count(message)
            yield message.text

    def _count(self, message: pb.RerankStreamRequest) -> None:
        """The reranker's bounds are of a run; these are of the stream."""
        self._texts += 1
        self.chars += len(message.query) + len(message.text)
        self._kept += len(message.text) if self._first.return_text else 0
        limits = self._limits
        if self._texts > limits.max_stream_documents:
            raise TooLarge(
                f"the stream has more than {counted(limits.max_stream_documents, 'text')}",
                field="text",
                reason="too_many_documents",
            )
        if self._kept > limits.max_kept_bytes:
            raise TooLarge(
                f"return_text would hold more than {counted(limits.max_kept_bytes, 'character')} of texts: "
                "leave it out",
                field="return_text",
            )
