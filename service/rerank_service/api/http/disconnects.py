"""Cancel the work of a request whose client closes the connection: HTTP has no other cancellation."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect
from starlette.types import Receive

T = TypeVar("T")


async def until_disconnect(receive: Receive, work: Coroutine[Any, Any, T]) -> T:
    """Return the result of the work, or cancel it when `receive` says that the client closed the connection.

    The body of the request must have been read. A second task reads from the connection meanwhile. It is cancelled when
    the work ends.

    Raises:
        ClientDisconnect: the client closed the connection.
    """
    scope = asyncio.timeout(None)  # a timeout tells its own cancellation from that of others
    try:
        async with scope:
            watch = asyncio.create_task(_end_at_disconnect(receive, scope))
            try:
                return await work
            finally:
                watch.cancel()  # before the scope ends: it cannot be rescheduled any more
    except TimeoutError as error:
        if not scope.expired():
            raise
        raise ClientDisconnect from error


async def _end_at_disconnect(receive: Receive, scope: asyncio.Timeout) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.reschedule(0.0)
