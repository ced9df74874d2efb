"""Clients that do not answer the end of a TLS connection, while the server ends.

asyncio closes a TLS connection when the client has answered `close_notify`, or after 30 s. A blocking client answers
nothing on a connection that it keeps for its next request.
"""

import asyncio
from collections.abc import Iterable
from contextlib import suppress

from rerank_service.api.http.transport_cycles import below_tls

_ANSWER_SECONDS = 1.0
"""Time to answer `close_notify`, after the client has taken all bytes."""


class SilentClients:
    """Aborts the connections of such clients. Used on the event loop only."""

    def __init__(self) -> None:
        self._silent_since: dict[asyncio.Transport, float] = {}

    def abort(self, transports: Iterable[asyncio.Transport]) -> None:
        """Abort those of the connections that have been closed and silent for a second. Call it again and again."""
        now = asyncio.get_running_loop().time()
        closing = [each for each in transports if each.is_closing() and not _waiting_bytes(each)]
        self._silent_since = {each: self._silent_since.get(each, now) for each in closing}
        for transport, since in self._silent_since.items():
            if now - since >= _ANSWER_SECONDS:
                transport.abort()


def _waiting_bytes(transport: asyncio.Transport) -> int:
    """Return the number of bytes that the kernel has not taken yet."""
    below, waiting = below_tls(transport), 0
    with suppress(AttributeError):  # a transport of TLS that has ended is not connected to that of the socket any more
        waiting = transport.get_write_buffer_size()
        waiting += below.get_write_buffer_size() if isinstance(below, asyncio.Transport) else 0
    return waiting
