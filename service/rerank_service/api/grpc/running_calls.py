"""Count the running calls of our own services, so that a shutdown knows when gRPC waits for others only."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc

from rerank_service.api.grpc.aborted_calls import freed_at_abort
from rerank_service.api.grpc.registered_methods import Handlers


class RunningCalls:
    """The calls of some handlers, until gRPC has sent their status. Used on the event loop only."""

    def __init__(self) -> None:
        self._count = 0
        self._idle = asyncio.Event()
        self._idle.set()

    def counted(self, handlers: Handlers) -> Handlers:
        """Return the handlers, whose calls are counted. All of them take a stream of messages."""
        return {name: self._handler(handler) for name, handler in handlers.items()}

    async def ended(self) -> None:
        """Wait until no call runs."""
        await self._idle.wait()

    def _handler(self, handler: Any) -> "grpc.RpcMethodHandler[bytes, bytes]":
        behaviour = handler.stream_stream or handler.stream_unary

        @freed_at_abort
        async def counted(messages: AsyncIterator[bytes], context: Any) -> Any:
            self._begin()
            return await behaviour(messages, context)

        if handler.response_streaming:
            return grpc.stream_stream_rpc_method_handler(counted)
        return grpc.stream_unary_rpc_method_handler(counted)

    def _begin(self) -> None:
        """Count the call of this task, which gRPC ends after the response. A callback of gRPC would be in a cycle with
        the call, which only a garbage collection frees."""
        task = asyncio.current_task()
        assert task is not None, "gRPC runs each handler in a task"
        self._count += 1
        self._idle.clear()
        task.add_done_callback(self._end)

    def _end(self, _task: "asyncio.Task[Any]") -> None:
        self._count -= 1
        if not self._count:
            self._idle.set()
