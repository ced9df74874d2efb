"""Plain grpcio: a grpc.aio client loses the status of a stream that the server ends while the client writes.

`python tests/support/lost_status.py` counts the statuses that clients report for UNAVAILABLE. It needs grpcio only.
Known as github.com/grpc/grpc/issues/36066.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import grpc

METHOD = "/example.Echo/Stream"
MESSAGE_BYTES = 1000
LONG_MESSAGE_BYTES = 3_000_000
"""More than fits into the buffers of a connection, so that the client still writes when the call ends."""


async def refuse(messages: AsyncIterator[bytes], context: Any) -> None:
    """End the call after its first message."""
    await anext(messages)
    await context.abort(grpc.StatusCode.UNAVAILABLE, "draining")


async def refuse_after_the_last_message(messages: AsyncIterator[bytes], context: Any) -> None:
    """End the call when the client has sent all messages."""
    async for _ in messages:
        pass
    await context.abort(grpc.StatusCode.UNAVAILABLE, "draining")


async def from_iterator(channel: grpc.aio.Channel, method: str, messages: list[bytes], **options: Any) -> str:
    """Send messages as an iterator. Return the status that the client reports."""
    start: Any = channel.stream_stream(method)
    call = start(iter(messages), **options)
    return await _status(call)


async def by_writes(channel: grpc.aio.Channel, method: str, messages: list[bytes], **options: Any) -> str:
    """Send messages one by one. Return the status that the client reports."""
    call: Any = channel.stream_stream(method)(**options)
    try:
        for message in messages:
            await call.write(message)
        await call.done_writing()
    except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
        pass  # the status says why
    return await _status(call)


async def _status(call: Any) -> str:
    try:
        async for _ in call:
            pass
    except grpc.aio.AioRpcError:
        pass
    return str((await call.code()).name)


async def statuses(handler: Any, send: Any, streams: int, message_bytes: int = MESSAGE_BYTES) -> Counter[str]:
    """Return how many streams of five messages end with each status. A server with this handler runs meanwhile."""
    server = grpc.aio.server()
    handlers: dict[str, Any] = {"Stream": grpc.stream_stream_rpc_method_handler(handler)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("example.Echo", handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        counts = Counter([await send(channel, METHOD, [b"x" * message_bytes] * 5) for _ in range(streams)])
    await server.stop(None)
    return counts


async def main() -> None:
    """Print the counts for both handlers and both ways to send."""
    for handler in (refuse, refuse_after_the_last_message):
        for send in (from_iterator, by_writes):
            print(f"{handler.__name__}, {send.__name__}: {dict(await statuses(handler, send, 200))}")


if __name__ == "__main__":
    asyncio.run(main())
