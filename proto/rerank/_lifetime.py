"""The time in which a client is open: its calls end when it closes. Private: import from rerank.client.

gRPC raises a ValueError, a UsageError or a CancelledError for calls on a closed channel, depending on the moment. The
caller cannot know the moment if another thread or task closes the client, so all of them become `Cancelled`.
"""

import asyncio
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import grpc

from rerank.errors import Cancelled

_CLOSED = "the client is closed: create a new one"
_LOOK_SECONDS = 0.1
"""Time between two looks whether a stream was closed by another thread."""


class Lifetime:
    """The time in which a blocking client is open. Threads may share it."""

    def __init__(self) -> None:
        self._closed = threading.Event()

    def close(self) -> None:
        """End all pauses."""
        self._closed.set()

    @contextmanager
    def starting(self) -> Iterator[None]:
        """Start a call in this block.

        Raises:
            Cancelled: the client is closed.
        """
        if self._closed.is_set():
            raise Cancelled(_CLOSED)
        try:
            yield
        except ValueError as error:
            if not self._closed.is_set():
                raise
            raise Cancelled(_CLOSED) from error

    def pause(self, seconds: float, ended: Callable[[], bool] | None = None) -> None:
        """Wait, or until the client is closed or `ended` returns True."""
        if ended is None:
            self._closed.wait(seconds)
            return
        until = time.monotonic() + seconds
        while not ended() and (left := until - time.monotonic()) > 0:
            if self._closed.wait(min(left, _LOOK_SECONDS)):
                break


class AsyncLifetime:
    """The time in which a client for asyncio, or a stream of it, is open."""

    def __init__(self) -> None:
        self._closed = asyncio.Event()
        self._reason = ""
        self._parts: weakref.WeakSet[AsyncLifetime] = weakref.WeakSet()

    def close(self, reason: str = _CLOSED) -> None:
        """End all pauses, also those of the parts. `reason` is the message of calls that this ends."""
        if not self._closed.is_set():
            self._reason = reason
            self._closed.set()
        for part in self._parts:
            part.close(reason)

    def part(self) -> "AsyncLifetime":
        """Return the lifetime of a stream of this client: it ends with that of the client, or before."""
        part = AsyncLifetime()
        if self._closed.is_set():
            part.close(self._reason)
        self._parts.add(part)
        return part

    @contextmanager
    def running(self) -> Iterator[None]:
        """Start a call and wait for it in this block. A cancellation of the task stays a CancelledError.

        Raises:
            Cancelled: the client or the stream is closed.
        """
        if self._closed.is_set():
            raise Cancelled(self._reason)
        try:
            yield
        except (grpc.aio.UsageError, asyncio.CancelledError) as error:
            task = asyncio.current_task()
            if not self._closed.is_set() or (task is not None and task.cancelling()):
                raise
            raise Cancelled(self._reason) from error

    async def pause(self, seconds: float) -> None:
        """Wait, or until the client or the stream is closed."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._closed.wait()
