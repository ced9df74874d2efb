"""Services of libraries, such as health checks, with a limit for clients that send no request.

Our own services have the deadline of the call (handlers.py). These libraries wait for a message without end.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import grpc


class BoundedServer:
    """A server that handlers can be added to. Each waits `timeout` seconds for each message of a client."""

    def __init__(self, server: grpc.aio.Server, timeout: float) -> None:
        self._server = server
        self._timeout = timeout

    def add_generic_rpc_handlers(self, handlers: Sequence[grpc.GenericRpcHandler]) -> None:
        """Add handlers, as in grpc.aio.Server."""
        self._server.add_generic_rpc_handlers(tuple(_Bounded(handler, self._timeout) for handler in handlers))

    def add_registered_method_handlers(self, service: str, handlers: Any) -> None:
        """Do nothing, as grpc.aio.Server: the generated code adds generic handlers, too."""


class _Bounded(grpc.GenericRpcHandler):
    def __init__(self, inner: grpc.GenericRpcHandler, timeout: float) -> None:
        self._inner = inner
        self._timeout = timeout

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[Any, Any] | None":
        """Return the handler of a method, with the limit."""
        handler: Any = self._inner.service(handler_call_details)
        return None if handler is None else self._bounded(handler)

    def _bounded(self, handler: Any) -> "grpc.RpcMethodHandler[Any, Any]":
        coding = {
            "request_deserializer": handler.request_deserializer,
            "response_serializer": handler.response_serializer,
        }
        if handler.unary_unary:

            async def unary(messages: AsyncIterator[Any], context: Any) -> Any:
                return await handler.unary_unary(await self._first(messages, context), context)

            return grpc.stream_unary_rpc_method_handler(unary, **coding)
        if handler.unary_stream:

            async def watch(messages: AsyncIterator[Any], context: Any) -> None:
                await handler.unary_stream(await self._first(messages, context), context)

            return grpc.stream_stream_rpc_method_handler(watch, **coding)

        async def stream(messages: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
            async for response in handler.stream_stream(self._timely(messages, context), context):
                yield response

        return grpc.stream_stream_rpc_method_handler(stream, **coding)

    async def _first(self, messages: AsyncIterator[Any], context: Any) -> Any:
        async for message in self._timely(messages, context):
            return message
        return await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "The call has no message.")

    async def _timely(self, messages: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        received = aiter(messages)
        while True:
            try:
                async with asyncio.timeout(self._timeout):
                    message = await anext(received)
            except StopAsyncIteration:
                return
            except TimeoutError:
                await context.abort(
                    grpc.StatusCode.DEADLINE_EXCEEDED, f"The client sent no message within {self._timeout:g} s."
                )
            yield message
