"""Free an aborted call when it ends.

gRPC keeps the error with which a call was aborted in the state of the call. The traceback of the error leads to the
frames of the handler, and they lead to the call and to its messages, of up to 64 MiB. Only a full garbage collection
frees such a cycle, and those are rare.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from functools import wraps
from typing import Any, TypeVar

import grpc

Result = TypeVar("Result")
Handler = Callable[[AsyncIterator[bytes], Any], Awaitable[Result]]
"""Handles a call, from its messages and its context."""


def freed_at_abort(handler: Handler[Result]) -> Handler[Result]:
    """Return the handler, whose error at an abort does not lead to the call."""

    @wraps(handler)
    async def handle(messages: AsyncIterator[bytes], context: Any) -> Result:
        try:
            return await handler(messages, context)
        except grpc.aio.AbortError as aborted:
            aborted.__context__ = None
            del messages, context  # the error leads to this frame
            raise aborted.with_traceback(None) from None

    return handle
