"""A listening socket with a maximum of open connections.

Connections count from the moment they are accepted until their descriptor is closed. asyncio shows a connection to its
protocol only after the TLS handshake, so a protocol cannot count clients that never finish it.
"""

import socket
from typing import Any, Self

import structlog

_log = structlog.get_logger()

ACCEPTED_AT_ONCE = 16
"""Number of connections that asyncio accepts in one turn of the event loop. Each costs a fraction of a millisecond."""


class CountedListener(socket.socket):
    """Accepts connections while there is room, and closes further ones at once. Used on the event loop only."""

    _max_connections: int
    _open: "set[_Connection]"
    _is_full = False

    @classmethod
    def of(cls, listener: socket.socket, max_connections: int) -> Self:
        """Take over a listening socket. `listener` is closed then."""
        counted = cls(listener.family, listener.type, listener.proto, fileno=listener.detach())
        counted._max_connections, counted._open = max_connections, set()
        return counted

    def listen(self, backlog: int = 0, /) -> None:
        """Do nothing: the socket listens already. asyncio would shorten its queue to `ACCEPTED_AT_ONCE`."""

    def accept(self) -> tuple[socket.socket, Any]:
        """Accept a connection.

        Raises:
            ConnectionAbortedError: there are too many, so it was closed. asyncio then continues with the next one.
        """
        accepted, address = super().accept()
        connection = _Connection(accepted.family, accepted.type, accepted.proto, fileno=accepted.detach())
        if len(self._open) >= self._max_connections:
            connection.close()
            self._report_full()
            raise ConnectionAbortedError
        connection.counted_in = self._open
        self._open.add(connection)
        self._is_full = False
        return connection, address

    def _report_full(self) -> None:
        """Log one line until there is room again."""
        if not self._is_full:
            _log.warning("too many connections", max_connections=self._max_connections, protocol="rest")
        self._is_full = True


class _Connection(socket.socket):
    counted_in: "set[_Connection] | None" = None

    def close(self) -> None:
        """Close the connection, and stop counting it."""
        if self.counted_in is not None:
            self.counted_in.discard(self)
        super().close()
