"""The messages of a streaming call, read to their end before the status of the call.

A server may end a call while its client still writes. `grpc.aio` clients then lose the status: they report INTERNAL in
place of it (docs/decisions/0062-status-after-the-last-message.md). So the server first reads what such a client still
sends, within limits, and drops it.
"""

import asyncio
import math
from collections.abc import AsyncIterator, Mapping

import grpc

Context = grpc.aio.ServicerContext[bytes, bytes]

_LOSES_STATUS = "grpc-python-asyncio/"
"""Part of the user agent of all grpc.aio clients: github.com/grpc/grpc/issues/36066."""
_KEEPS_STATUS = "rerank-client"
"""Part of the user agent of `rerank.client`, which uses grpc.aio too, and stops to write when a call is over."""
_MAX_SECONDS = 1.0
"""Time to read on. A short stream that was on its way arrives within it, from another continent too."""
_MAX_SHARE = 0.25
"""Maximum share of the remaining time of the call, so that the status arrives before the deadline of the client."""
_MAX_BYTES = 4 * 1024 * 1024
"""Maximum size of the messages that are dropped."""
_MESSAGE_BYTES = 1024
"""Size that each message counts in addition, for the time that it takes."""


class ClientMessages:
    """The messages of one call: an asynchronous iterator. Used on the event loop by one reader at a time.

    A read that is cancelled continues, and the next read waits for its message: gRPC cannot stop a read.
    """

    def __init__(self, messages: AsyncIterator[bytes], context: Context, metadata: Mapping[str, str]) -> None:
        """`metadata` is that of the call."""
        self._messages = messages
        self._context = context
        agent = metadata.get("user-agent", "")
        self._loses_status = _LOSES_STATUS in agent and _KEEPS_STATUS not in agent
        self._reading: asyncio.Future[bytes | None] | None = None
        self._ended = False

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        message = await (self._next() if self._loses_status else anext(self._messages, None))
        if message is None:
            self._ended = True
            raise StopAsyncIteration
        return message

    async def drop_rest(self) -> int:
        """Read and drop all further messages, if the client would lose the status. Return their bytes.

        Stop after `_MAX_SECONDS` or `_MAX_BYTES`.
        """
        size = counted = 0
        if not self._loses_status:
            return size
        remaining = self._context.time_remaining()
        share = math.inf if remaining is None else _MAX_SHARE * remaining
        try:
            async with asyncio.timeout(min(_MAX_SECONDS, share)):
                async for message in self:
                    size += len(message)
                    counted += len(message) + _MESSAGE_BYTES
                    if counted > _MAX_BYTES:
                        break
        except TimeoutError:
            pass
        finally:
            self.close()  # before the status: gRPC allows no read after it
        return size

    def close(self) -> None:
        """End the messages, and cancel the read that is running. Call it at the end of the call."""
        self._ended = True
        if self._reading is not None:
            self._reading.cancel()

    async def _next(self) -> bytes | None:
        """Return the next message, or None at the end."""
        if self._ended:
            return None
        if self._reading is None:
            self._reading = asyncio.ensure_future(_read(self._messages))
        message = await asyncio.shield(self._reading)
        self._reading = None
        return message


async def _read(messages: AsyncIterator[bytes]) -> bytes | None:
    return await anext(messages, None)
