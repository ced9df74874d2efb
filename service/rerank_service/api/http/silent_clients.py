"""Clients that do not answer the end of a TLS connection.

asyncio closes a TLS connection when the client has answered `close_notify`, or after `ssl_shutdown_timeout`, which is
long enough for slow readers. A blocking client answers nothing on a connection that it keeps for its next request.
"""

import asyncio
from collections.abc import Iterable

from rerank_service.api.http.connection import LimitedConnection

_ANSWER_SECONDS = 1.0
"""Time to answer `close_notify`, after the kernel has taken all bytes."""


class SilentClients:
    """Aborts the connections of such clients. Used on the event loop only."""

    def __init__(self) -> None:
        self._silent_since: dict[LimitedConnection, float] = {}

    def abort(self, connections: Iterable[LimitedConnection]) -> None:
        """Abort those of the connections that have been closed and silent for a second. Call it again and again."""
        now = asyncio.get_running_loop().time()
        closing = [each for each in connections if each.transport.is_closing() and not each.waiting_bytes()]
        self._silent_since = {each: self._silent_since.get(each, now) for each in closing}
        for connection, since in self._silent_since.items():
            if now - since >= _ANSWER_SECONDS:
                connection.abort()
