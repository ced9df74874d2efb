"""The gRPC edge for callers with text-embeddings-inference's stubs: tei.v1.Rerank and tei.v1.Info.

What TEI does (its router/src/grpc/server.rs) is done here, but for what docs/decisions/0014 names.
"""

import asyncio
import re
from array import array
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import grpc

import rerank_service
from rerank.tei import tei_pb2 as pb
from rerank_service.api.grpc_calls import Call, Service
from rerank_service.api.json_documents import TextReader
from rerank_service.api.tei import cost_headers, dtype
from rerank_service.deadline import Deadline
from rerank_service.errors import InvalidRequest, RerankError, TooLarge
from rerank_service.host import usable_cores
from rerank_service.ranking import CutSide, Ranking, RerankRequest, ScoreType, Timing, TooLong
from rerank_service.registry import Registry
from rerank_service.reranker import RequestLimits, Reranker

_SERVICES = pb.DESCRIPTOR.services_by_name
_CUT_SIDES = {pb.TRUNCATION_DIRECTION_RIGHT: CutSide.RIGHT, pb.TRUNCATION_DIRECTION_LEFT: CutSide.LEFT}
_CODES = {grpc.StatusCode.INTERNAL: grpc.StatusCode.FAILED_PRECONDITION}
"""A model that fails is FAILED_PRECONDITION there."""
_AT_ONCE = 1_000
"""Ranks made before other requests get a turn."""
_UINT32 = 2**32 - 1

Message = pb.RerankRequest | pb.RerankStreamRequest


class TeiMethods:
    """The methods of tei.v1.Rerank and tei.v1.Info."""

    def __init__(self, reranker: Reranker, registry: Registry, default_timeout: float) -> None:
        """`default_timeout` is for calls without a deadline, in seconds."""
        self._reranker = reranker
        self._registry = registry
        self._default_timeout = default_timeout

    @property
    def services(self) -> list[Service]:
        """Both."""
        return [
            Service(_SERVICES["Rerank"], {"Rerank": self.rerank, "RerankStream": self.rerank_stream}, _CODES),
            Service(_SERVICES["Info"], {"Info": self.info}, _CODES),
        ]

    async def info(self, call: Call[pb.InfoRequest]) -> pb.InfoResponse:
        """Info."""
        await anext(call.messages)
        model, limits = self._registry.get(""), self._reranker.limits
        return pb.InfoResponse(
            version=rerank_service.__version__,
            model_id=model.info.name,
            model_sha=model.info.revision or None,
            model_dtype=dtype(model.info.precision),
            model_type=pb.MODEL_TYPE_RERANKER,
            max_concurrent_requests=limits.max_documents,
            max_input_length=model.info.max_tokens,
            max_batch_tokens=model.info.max_batch_tokens,
            max_client_batch_size=limits.max_documents,
            tokenization_workers=usable_cores(),
        )

    async def rerank(self, call: Call[pb.RerankRequest]) -> pb.RerankResponse:
        """Rerank."""
        message = await anext(call.messages)
        answer = _Answer()
        with _in_their_words():
            ranking = await self._reranker.rerank(
                _request(message, message),
                message.texts,
                reader=TextReader(),
                deadline=self._deadline(call.timeout),
                weight=call.caller.weight,
            )
        await answer.add(ranking)
        chars = len(message.texts) * len(message.query) + sum(map(len, message.texts))
        return await answer.sent(call, chars)

    async def rerank_stream(self, call: Call[pb.RerankStreamRequest]) -> pb.RerankResponse:
        """RerankStream."""
        deadline = self._deadline(call.timeout)
        limits, answer = self._reranker.limits, _Answer()
        async with _read_ahead(call.messages, limits.chunk) as more:
            runs = _Runs(more, limits)
            async with deadline.enforced():
                await runs.begin()
            async for request, texts in runs:
                with _in_their_words(answer.texts):
                    await self._reranker.rerank_stream(
                        request,
                        texts,
                        reader=TextReader(),
                        deadline=deadline,
                        deliver=answer.add,
                        weight=call.caller.weight,
                    )
        return await answer.sent(call, runs.chars)

    def _deadline(self, remaining: float | None) -> Deadline:
        return Deadline.after(self._default_timeout if remaining is None else remaining)


def _request(message: Message, first: Message) -> RerankRequest:
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


@asynccontextmanager
async def _read_ahead(
    messages: AsyncIterator[pb.RerankStreamRequest], most: int
) -> AsyncIterator[Callable[[], Awaitable[list[pb.RerankStreamRequest]]]]:
    """Read messages while those before them are worked on, as each is but one text. Gives a function for those that
    have come since; at the end there are none."""
    queue: asyncio.Queue[pb.RerankStreamRequest | Exception | None] = asyncio.Queue(most)

    async def read() -> None:
        try:
            async for message in messages:
                await queue.put(message)
        except Exception as error:  # noqa: BLE001 - raised again where the messages are taken
            await queue.put(error)
        else:
            await queue.put(None)

    async def more() -> list[pb.RerankStreamRequest]:
        taken = []
        while isinstance(one := await queue.get(), pb.RerankStreamRequest):
            taken.append(one)
            if queue.empty():
                return taken
        if isinstance(one, Exception):
            raise one
        queue.put_nowait(one)  # the end, to be found again
        return taken

    reader = asyncio.create_task(read())
    try:
        yield more
    finally:
        reader.cancel()
        await asyncio.wait([reader])


class _Runs:
    """A stream as runs of texts that ask the same: each message has a query, and a cut, of its own."""

    def __init__(self, more: Callable[[], Awaitable[list[pb.RerankStreamRequest]]], limits: RequestLimits) -> None:
        self._more = more
        self._limits = limits
        self._first = pb.RerankStreamRequest()
        self._ahead: deque[pb.RerankStreamRequest] = deque()
        self._texts = 0
        self._kept = 0
        self.chars = 0
        """Of all queries and texts so far."""

    async def begin(self) -> None:
        """Wait for the first message.

        Raises:
            InvalidRequest: there is none.
        """
        self._ahead.extend(await self._more())
        if not self._ahead:
            raise InvalidRequest("a stream must hold at least one text", field="text", reason="empty_stream")
        self._first = self._ahead[0]

    async def __aiter__(self) -> AsyncIterator[tuple[RerankRequest, AsyncIterator[Sequence[str]]]]:
        """What each run asks, and its texts, which must be read before the next."""
        while self._ahead:
            request = _request(self._ahead[0], self._first)
            yield request, self._run(request)

    async def _run(self, request: RerankRequest) -> AsyncIterator[Sequence[str]]:
        while texts := list(self._take(request)):
            yield texts
            if not self._ahead:
                self._ahead.extend(await self._more())

    def _take(self, request: RerankRequest) -> Iterator[str]:
        while self._ahead and _request(self._ahead[0], self._first) == request:
            message = self._ahead.popleft()
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
                f"the stream has more than {limits.max_stream_documents} texts",
                field="text",
                reason="too_many_documents",
            )
        if self._kept > limits.max_kept_bytes:
            raise TooLarge(
                f"return_text would hold more than {limits.max_kept_bytes} characters of texts: leave it out",
                field="return_text",
            )


class _Answer:
    """The response, as the rankings of its runs come in."""

    def __init__(self) -> None:
        self._response = pb.RerankResponse()
        self._logits = array("d")
        self._ordered = True
        self._tokens = 0
        self._timing = Timing(0.0, 0.0, 0.0, 0.0)

    @property
    def texts(self) -> int:
        """Of the runs so far, all of which are ranked."""
        return len(self._logits)

    async def add(self, ranking: Ranking) -> None:
        """Take in the ranking of the next run."""
        start = self.texts
        self._logits.extend([0.0] * ranking.documents)
        for at, one in enumerate(ranking, 1):
            self._response.ranks.add(index=start + one.index, text=one.document, score=one.relevance_score)
            self._logits[start + one.index] = one.logit
            if at % _AT_ONCE == 0:
                await asyncio.sleep(0)
        self._ordered = not start
        self._tokens += ranking.usage.prompt_tokens
        self._timing = _sum(self._timing, ranking.timing)

    async def sent(self, call: Call[Any], chars: int) -> pb.RerankResponse:
        """The whole, once its metadata has gone ahead."""
        timing = self._timing
        await call.lead(cost_headers(chars, self._tokens, timing))
        if not self._ordered:  # by logit, as scores may be equal where logits are not
            self._response.ranks.sort(key=lambda rank: (-self._logits[rank.index], rank.index))
        metadata = self._response.metadata
        metadata.compute_chars = min(chars, _UINT32)
        metadata.compute_tokens = min(self._tokens, _UINT32)
        metadata.total_time_ns = _nanoseconds(timing.total)
        metadata.tokenization_time_ns = _nanoseconds(timing.tokenize)
        metadata.queue_time_ns = _nanoseconds(timing.queue)
        metadata.inference_time_ns = _nanoseconds(timing.inference)
        return self._response


def _sum(one: Timing, other: Timing) -> Timing:
    return Timing(
        one.queue + other.queue,
        one.tokenize + other.tokenize,
        one.inference + other.inference,
        one.total + other.total,
    )


def _nanoseconds(seconds: float) -> int:
    return round(seconds * 1e9)


_DOCUMENTS = re.compile(r"\bdocuments\b(?:\[(\d+)\])?")


@contextmanager
def _in_their_words(start: int = 0) -> Iterator[None]:
    """Errors of the block speak of `texts`, and number them as the caller does, who sent others before these."""

    def word(found: re.Match[str]) -> str:
        return "texts" if found[1] is None else f"texts[{start + int(found[1])}]"

    try:
        yield
    except RerankError as error:
        error.args = (_DOCUMENTS.sub(word, str(error)),)
        error.field = error.field and _DOCUMENTS.sub(word, error.field)
        raise
