"""A RerankStream call on asyncio. Private: import from rerank.client."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterable
from contextlib import aclosing, suppress

import grpc

from rerank._messages import Content, OnScores, merge_response, stream_messages
from rerank.v1 import rerank_pb2 as pb

_Call = grpc.aio.StreamStreamCall[pb.RerankStreamRequest, pb.RerankStreamResponse]

_WRITE_ERRORS = (grpc.aio.AioRpcError, grpc.aio.InternalError, asyncio.InvalidStateError)


async def rank_stream(
    start_call: Callable[[], _Call],
    header: pb.RerankStreamRequest,
    documents: Iterable[Content] | AsyncIterable[Content],
    on_scores: OnScores | None,
) -> pb.RerankResponse:
    """Send the header and the documents, and return the ranking. An error of `documents` cancels the call."""
    ranking = pb.RerankResponse()
    try:
        async with asyncio.TaskGroup() as tasks:
            call = start_call()
            writer = tasks.create_task(_write(call, stream_messages(header, documents)))
            _cancel_writer_at_end(call, writer)
            async with aclosing(_read(call)) as responses:
                async for response in responses:
                    merge_response(ranking, response, on_scores)
        return ranking
    except BaseExceptionGroup as group:
        error = group.exceptions[-1]  # an error from cancelling the writer comes before it
    raise error  # outside the except block, so that the error keeps its own context


async def _write(call: _Call, messages: AsyncGenerator[pb.RerankStreamRequest]) -> None:
    """Write all messages, or stop when the call is over. A failed write raises nothing: the status has the reason."""
    try:
        async with aclosing(messages):
            async for message in messages:
                with suppress(*_WRITE_ERRORS):
                    await call.write(message)
                if call.done():
                    return
        with suppress(*_WRITE_ERRORS):
            await call.done_writing()
    except BaseException:
        call.cancel()  # otherwise the call would continue after a CancelledError of the source
        raise


def _cancel_writer_at_end(call: _Call, writer: asyncio.Task[None]) -> None:
    """Cancel the writer when the call ends.

    A write that fails after the end of a call would overwrite its status: github.com/grpc/grpc/issues/36066.
    """

    def cancel(_: object) -> None:
        writer.cancel()

    call.add_done_callback(cancel)


async def _read(call: _Call) -> AsyncGenerator[pb.RerankStreamResponse]:
    try:
        async for response in call:
            yield response
    finally:
        call.cancel()  # needed if on_scores raised; has no effect on a finished call
