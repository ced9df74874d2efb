"""A RerankStream call on asyncio. Private: import from rerank.client."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from contextlib import aclosing, suppress
from typing import Any

import grpc

from rerank._lifetime import AsyncLifetime
from rerank._messages import Content, OnScores, merge_response, stream_messages
from rerank._retries import Budget, CallFailed, RetryPolicy
from rerank.errors import RerankError
from rerank.v1 import rerank_pb2 as pb

_Call = grpc.aio.StreamStreamCall[pb.RerankStreamRequest, pb.RerankStreamResponse]
Responses = AsyncGenerator[pb.RerankStreamResponse]
StartCall = Callable[..., Any]
"""Starts a call. Takes `timeout`."""
Documents = Iterable[Content] | AsyncIterable[Content]

_WRITE_ERRORS = (grpc.aio.AioRpcError, grpc.aio.InternalError, asyncio.InvalidStateError)


class CancellableCall:
    """Starts the calls of a stream, which another task may cancel."""

    def __init__(self, start_call: StartCall, lifetime: AsyncLifetime) -> None:
        """`lifetime` is that of the stream."""
        self._start_call = start_call
        self._lifetime = lifetime
        self._call: _Call | None = None

    def __call__(self, timeout: float | None) -> _Call:
        """Start a call."""
        self._call = self._start_call(timeout=timeout)
        return self._call

    def cancel(self) -> None:
        """Cancel the running call, and start none from now on."""
        self._lifetime.close("the scores are closed")
        if self._call is not None:
            self._call.cancel()  # has no effect on a finished call


async def rank_stream(responses: Responses, on_scores: OnScores | None) -> pb.RerankResponse:
    """Read all responses, and return the ranking."""
    ranking = pb.RerankResponse()
    async with aclosing(responses):  # cancels the call if on_scores raises
        async for response in responses:
            merge_response(ranking, response, on_scores)
    return ranking


async def stream_responses(
    policy: RetryPolicy,
    start_call: StartCall,
    header: pb.RerankStreamRequest,
    documents: Documents,
    lifetime: AsyncLifetime,
) -> Responses:
    """Send the header and the documents, and yield the responses, like _blocking_stream.stream_responses."""
    budget, again = Budget(policy), not isinstance(documents, Iterator | AsyncIterator)
    while True:
        with lifetime.running():
            call = start_call(timeout=budget.timeout)
        attempt, responded = _Attempt(call, header, documents, lifetime), False
        try:
            async with aclosing(attempt.responses()) as responses:
                async for response in responses:
                    responded = True
                    yield response
            return
        except CallFailed as failed:
            may_repeat = (again or not attempt.reading) and not responded
            pause = budget.pause(failed.error) if may_repeat else None
            if pause is None:
                raise failed.error from failed.cause
        await lifetime.pause(pause)


class _Attempt:
    """One call. A task writes its messages."""

    def __init__(
        self, call: _Call, header: pb.RerankStreamRequest, documents: Documents, lifetime: AsyncLifetime
    ) -> None:
        self.reading = False
        """True if a document was read."""
        self._call = call
        self._lifetime = lifetime
        self._failure: BaseException | None = None
        self._writer = asyncio.create_task(self._write(stream_messages(header, documents)))
        # a write that fails after the end of a call would overwrite its status: github.com/grpc/grpc/issues/36066
        call.add_done_callback(lambda _: self._writer.cancel())

    async def responses(self) -> Responses:
        """Yield the responses. An error of the documents cancels the call and is raised here.

        Raises:
            CallFailed: the call failed.
            Cancelled: the client is closed.
        """
        try:
            received = aiter(self._call)
            while (response := await self._next(received)) is not None:
                yield response
        finally:
            self._call.cancel()  # has no effect on a finished call
            self._writer.cancel()
            await asyncio.wait([self._writer])
        if self._failure is not None:
            raise self._failure  # outside of the except block, so that the error keeps its own context

    async def _next(self, received: AsyncIterator[pb.RerankStreamResponse]) -> pb.RerankStreamResponse | None:
        """Return the next response, or None at the end and after an error of the documents."""
        try:
            with self._lifetime.running():
                return await anext(received, None)
        except RerankError:
            raise
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if self._failure is None or (task is not None and task.cancelling()):
                raise
        except grpc.RpcError as error:
            if self._failure is None:
                raise CallFailed(error) from error
        return None

    async def _write(self, messages: AsyncGenerator[pb.RerankStreamRequest]) -> None:
        """Write all messages until the call is over. A failed write raises nothing: the status has the reason."""
        try:
            async with aclosing(messages):
                async for message in messages:
                    with suppress(*_WRITE_ERRORS):
                        await self._call.write(message)
                    if self._call.done():
                        return
                    self.reading = True
            with suppress(*_WRITE_ERRORS):
                await self._call.done_writing()
        except BaseException as error:  # noqa: BLE001 - raised by responses, also a CancelledError of the documents
            if not self._call.done():
                self._failure = error
                self._call.cancel()
