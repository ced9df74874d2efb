"""Read the responses of a connection strictly, with h11: each must be valid HTTP, and there must be no more than
requests."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import h11

_METHOD = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


@dataclass(frozen=True, slots=True)
class Response:
    """A response, complete."""

    status: int
    headers: dict[str, str]
    body: bytes


class ResponseReader:
    """Reads what arrives on a connection."""

    def __init__(self, methods: Sequence[str], *, until_closed: bool) -> None:
        """Expect a response for each method. `until_closed`: wait for more of them."""
        self._methods = list(methods)
        self._until_closed = until_closed
        self.responses: list[Response] = []
        self.malformed = ""
        """Why the bytes are no HTTP response; empty if they are."""
        self.extra = b""
        """Bytes after the last response."""
        self.received = 0
        """Number of bytes."""
        self._connection: h11.Connection | None = None
        self._head: h11.Response | None = None
        self._body = bytearray()

    def feed(self, part: bytes) -> bool:
        """Read a part. Return True if there is nothing more to wait for."""
        self.received += len(part)
        try:
            while part:
                if self._connection is None and len(self.responses) == len(self._methods):
                    self.extra += part
                    break
                part = self._read(part)
        except h11.RemoteProtocolError as error:
            self.malformed = f"the response is no valid HTTP: {error}"
            return True
        return len(self.responses) == len(self._methods) and not self._until_closed

    def close(self) -> None:
        """The server has closed: a response without a length is complete, any other one is not."""
        if self._connection is not None and not self.malformed:
            try:
                self._connection.receive_data(b"")
                self._events()
            except h11.RemoteProtocolError as error:
                self.malformed = f"the response is not complete: {error}"

    def _read(self, part: bytes) -> bytes:
        if self._connection is None:
            self._connection = _expecting(self._methods[len(self.responses)])
        self._connection.receive_data(part)
        return self._events()

    def _events(self) -> bytes:
        """Take all events of the current response. Return the bytes after its end."""
        connection = self._connection
        assert connection is not None
        while True:
            event = connection.next_event()
            if isinstance(event, h11.Response):
                self._head = event
            elif isinstance(event, h11.Data):
                self._body += event.data
            elif isinstance(event, h11.EndOfMessage):
                rest: bytes = connection.trailing_data[0]
                self._finish()
                return rest
            elif event is h11.NEED_DATA or isinstance(event, h11.ConnectionClosed):
                return b""

    def _finish(self) -> None:
        assert self._head is not None
        headers = {name.decode(): value.decode("latin-1") for name, value in self._head.headers}
        self.responses.append(Response(self._head.status_code, headers, bytes(self._body)))
        self._connection, self._head = None, None
        self._body.clear()


def _expecting(method: str) -> h11.Connection:
    """Return a client that has sent a request."""
    connection = h11.Connection(h11.CLIENT)
    known = method if _METHOD.fullmatch(method) and method != "CONNECT" else "GET"
    connection.send(h11.Request(method=known, target="/", headers=[("host", "x")]))
    connection.send(h11.EndOfMessage())
    return connection
