"""Messages of calls that need no API key: small, in time, and few at once.

gRPC inflates a compressed message, up to `--max-message-bytes`, before Python sees its size. It does so when the call
asks for the message, so the number of calls that ask bounds the memory. Connections take turns, and a call that waits
for its message makes room for another one. So an ordinary health check is answered beside a flood.

| what | limit | then |
|---|---|---|
| size of a message | `_MAX_MESSAGE_BYTES` | INVALID_ARGUMENT |
| time for a message | `timeout` | DEADLINE_EXCEEDED |
| messages at once | `_MAX_READS` in all, then others wait | RESOURCE_EXHAUSTED after `timeout` |
| calls without their message after `_PROMPT_SECONDS`, less if others wait | `_MAX_SLOW` | RESOURCE_EXHAUSTED |
"""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import grpc

from rerank_service.api.grpc.fair_places import FairPlaces

_MAX_MESSAGE_BYTES = 4096
_MAX_READS = 8
_PROMPT_SECONDS = 0.5
"""Time in which a message of a few bytes arrives: with its headers, usually."""
_CROWDED_SECONDS = 0.05
"""The same time while other calls wait."""
_MAX_SLOW = 4

Refusal = tuple[grpc.StatusCode, str]
"""Status and message of a call that must end."""


class MessageRefused(Exception):
    """The message is too large or too late."""

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(message)
        self.refusal: Refusal = (code, message)


class BoundedMessages:
    """Reads the messages of all these calls. Used on the event loop only."""

    def __init__(self, timeout: float) -> None:
        """`timeout` is the time for each message, in seconds."""
        self._timeout = timeout
        self._prompt = min(_PROMPT_SECONDS, timeout)
        self._places = FairPlaces(_MAX_READS)
        self._slow = asyncio.Semaphore(_MAX_SLOW)
        """Places of calls whose message arrives slowly."""

    async def next(self, messages: AsyncGenerator[bytes, None], connection: str) -> bytes | None:
        """Return the next message of a call, or None at their end.

        Raises:
            MessageRefused: the call must end.
        """
        try:
            async with asyncio.timeout(self._timeout):
                await self._places.take(connection)
        except TimeoutError:
            raise _exhausted() from None
        reading = asyncio.ensure_future(anext(messages, None))
        try:
            try:
                await self._wait(reading)
                if reading.done():
                    return await _small(reading, messages)
            finally:
                self._places.free()
            return await self._slowly(reading, messages)
        finally:
            reading.cancel()  # no effect if it is done

    async def _wait(self, reading: "asyncio.Future[bytes | None]") -> None:
        """Wait for a message that arrives at once."""
        at_once = min(_CROWDED_SECONDS, self._prompt)
        await asyncio.wait([reading], timeout=at_once)
        if reading.done():
            return
        crowd: asyncio.Future[Any] = asyncio.ensure_future(self._places.crowded.wait())
        try:
            left = self._prompt - at_once
            waiting: list[asyncio.Future[Any]] = [reading, crowd]
            await asyncio.wait(waiting, timeout=left, return_when=asyncio.FIRST_COMPLETED)
        finally:
            crowd.cancel()

    async def _slowly(
        self, reading: "asyncio.Future[bytes | None]", messages: AsyncGenerator[bytes, None]
    ) -> bytes | None:
        if self._slow.locked():
            raise _exhausted()
        async with self._slow:
            await asyncio.wait([reading], timeout=self._timeout - self._prompt)
            if reading.done():
                return await _small(reading, messages)
        late = f"The client sent no message within {self._timeout:g} s."
        raise MessageRefused(grpc.StatusCode.DEADLINE_EXCEEDED, late)


def _exhausted() -> MessageRefused:
    return MessageRefused(
        grpc.StatusCode.RESOURCE_EXHAUSTED, "The message did not arrive at once, and other calls wait: try later."
    )


async def _small(reading: "asyncio.Future[bytes | None]", messages: AsyncGenerator[bytes, None]) -> bytes | None:
    message = reading.result()
    if message is not None and len(message) > _MAX_MESSAGE_BYTES:
        await messages.aclose()  # it keeps its last message, until the client has received the status of the call
        large = f"The message has more than {_MAX_MESSAGE_BYTES:,} bytes: send less."
        raise MessageRefused(grpc.StatusCode.INVALID_ARGUMENT, large)
    return message
