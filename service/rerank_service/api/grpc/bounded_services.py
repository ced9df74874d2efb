"""Services of libraries that need no API key, health checks and reflection, with limits for strangers.

Our own services check the key of a call before its message (handlers.py). These libraries wait for a message without
end, take one of any size, and have calls that last as long as the connection. gRPC holds about 25 KiB for each call,
and all that has arrived of a message. So without limits, one connection could cost gigabytes.

| what | limit | then |
|---|---|---|
| size, time and number of messages | those of bounded_messages.py | the statuses there |
| calls on a connection | `_MAX_CONNECTION_CALLS` | RESOURCE_EXHAUSTED; for a watch, UNIMPLEMENTED |
| calls of reflection | `_MAX_STREAMS` in all | RESOURCE_EXHAUSTED |
| watches of the health | `max_watches` in all | UNIMPLEMENTED |

After UNIMPLEMENTED for a watch, clients take the server as healthy. After any other status, they take it as unhealthy,
send it no calls, and repeat the watch (gRFC A17). A proxy may send the watches of many clients on one connection.

Reason: docs/threat-model.md, "Costs of a stranger".
"""

from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from rerank_service.api.grpc.aborted_calls import freed_at_abort
from rerank_service.api.grpc.bounded_messages import BoundedMessages, MessageRefused, Refusal
from rerank_service.api.grpc.registered_methods import Handlers

_MAX_CONNECTION_CALLS = 32
_MAX_STREAMS = 100
_UNIMPLEMENTED = grpc.StatusCode.UNIMPLEMENTED


class BoundedServer:
    """A server that handlers can be added to. Their calls have the limits of this file."""

    def __init__(self, server: grpc.aio.Server, *, timeout: float, max_watches: int) -> None:
        """`timeout` is the time for each message of a client, in seconds; `max_watches` is the maximum number of calls
        that send responses without end."""
        self._server = server
        self._messages = BoundedMessages(timeout)
        self._calls = _Calls(max_watches)

    def add_registered_method_handlers(self, service: str, handlers: Handlers) -> None:
        """Add the handlers of a service, as in grpc.aio.Server."""
        bounded = _Bounded(self._messages, self._calls)
        self._server.add_registered_method_handlers(
            service, {name: bounded.handler(handler) for name, handler in handlers.items()}
        )

    def add_generic_rpc_handlers(self, handlers: object) -> None:
        """Do nothing: the generated code adds registered handlers, too (registered_methods.py)."""


class _Calls:
    """The running calls of all these services. Used on the event loop only."""

    def __init__(self, max_watches: int) -> None:
        self._max_watches = max_watches
        self._by_connection: Counter[str] = Counter()
        self._by_kind: Counter[str] = Counter()

    @contextmanager
    def counted(self, peer: str, kind: str) -> Iterator[Refusal | None]:
        """Count a call during the block. Yield None, or why the call must end.

        Clients of a Unix socket have no address, so they count as one connection without a limit.
        """
        keys = ((self._by_connection, peer), (self._by_kind, kind))
        refusal = self._refusal(peer, kind)
        for counter, key in keys:
            counter[key] += 1
        try:
            yield refusal
        finally:
            for counter, key in keys:
                counter[key] -= 1
                if not counter[key]:
                    del counter[key]

    def _refusal(self, peer: str, kind: str) -> Refusal | None:
        if not peer.startswith("unix") and self._by_connection[peer] >= _MAX_CONNECTION_CALLS:
            many = (
                f"The connection has {_MAX_CONNECTION_CALLS} calls of health checks and reflection: end some of them."
            )
            return _UNIMPLEMENTED if kind == "watch" else grpc.StatusCode.RESOURCE_EXHAUSTED, many
        if kind == "stream" and self._by_kind[kind] >= _MAX_STREAMS:
            return grpc.StatusCode.RESOURCE_EXHAUSTED, f"The server has {_MAX_STREAMS} calls of reflection: try later."
        if kind == "watch" and self._by_kind[kind] >= self._max_watches:
            return _UNIMPLEMENTED, f"The server has {self._max_watches} health watches: use Check."
        return None


class _Bounded:
    def __init__(self, messages: BoundedMessages, calls: _Calls) -> None:
        self._messages = messages
        self._calls = calls

    def handler(self, handler: Any) -> "grpc.RpcMethodHandler[Any, Any]":
        """Return a handler with the limits. It receives bytes, because a deserializer could not refuse a message."""
        decode, coding = handler.request_deserializer, {"response_serializer": handler.response_serializer}
        if handler.unary_unary:

            @freed_at_abort
            async def unary(messages: AsyncIterator[bytes], context: Any) -> Any:
                async with _admitted(self._calls, context, "unary"):
                    return await handler.unary_unary(await self._first(messages, context, decode), context)

            return grpc.stream_unary_rpc_method_handler(unary, **coding)
        if handler.unary_stream:

            @freed_at_abort
            async def watch(messages: AsyncIterator[bytes], context: Any) -> None:
                async with _admitted(self._calls, context, "watch"):
                    await handler.unary_stream(await self._first(messages, context, decode), context)

            return grpc.stream_stream_rpc_method_handler(watch, **coding)

        @freed_at_abort
        async def stream(messages: AsyncIterator[bytes], context: Any) -> None:
            async with _admitted(self._calls, context, "stream"):
                async for response in handler.stream_stream(self._timely(messages, context, decode), context):
                    await context.write(response)

        return grpc.stream_stream_rpc_method_handler(stream, **coding)

    async def _first(self, messages: AsyncIterator[bytes], context: Any, decode: Any) -> Any:
        async for message in self._timely(messages, context, decode):
            return message
        return await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "The call has no message: send one.")

    async def _timely(self, messages: AsyncIterator[bytes], context: Any, decode: Any) -> AsyncIterator[Any]:
        received: Any = aiter(messages)  # an async generator
        while True:
            try:
                message = await self._messages.next(received, context.peer())
            except MessageRefused as error:
                refusal = error.refusal
            else:
                if message is None:
                    return
                yield await _decoded(message, context, decode)
                continue
            await context.abort(*refusal)  # not while the error is handled: it would keep the message


@asynccontextmanager
async def _admitted(calls: _Calls, context: Any, kind: str) -> AsyncIterator[None]:
    """Count a call during the block, or end it because there are too many."""
    with calls.counted(context.peer(), kind) as refusal:
        if refusal is not None:
            await context.abort(*refusal)
        yield


async def _decoded(message: bytes, context: Any, decode: Any) -> Any:
    try:
        return decode(message)
    except DecodeError as error:
        return await context.abort(
            grpc.StatusCode.INVALID_ARGUMENT,
            f"The request is not a valid message ({error}). Generate the client from the service's proto file.",
        )
