"""One REST connection: uvicorn's protocol, with limits for clients that send or read slowly.

| the client | until | then |
|---|---|---|
| sends no header, or a part of it | `header_timeout` after the connection or after its first byte | close |
| sends a body slowly | the handler stops waiting (request_body.py) | 408 and close |
| goes on with a body after the response | `progress_timeout` after the response | close |
| sends no next request | `idle_timeout` (uvicorn) | close |
| reads the response slowly | `progress_timeout` with less than 1 KiB or 1/20 of it taken | reset |
| does not read a response that the kernel has | `progress_timeout`, also after a close | reset by the kernel |

Bytes that are no valid HTTP get an error in JSON, like any other mistake, and the connection is closed.
"""

import asyncio
import re
import sys
import traceback
from http import HTTPStatus
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from rerank_service.api.http.errors import error_body
from rerank_service.api.http.json_parts import dump_json
from rerank_service.api.http.limited_parser import MAX_HEADER_BYTES, MAX_HEADER_LINES, LimitedParser
from rerank_service.api.http.options import MIN_PROGRESS_BYTES, ConnectionLimits
from rerank_service.api.http.transport_cycles import below_tls, break_cycle
from rerank_service.api.http.unread_bytes import limit_unread_time, unread_bytes, waiting_bytes
from rerank_service.error_text import excerpt
from rerank_service.errors import MalformedHttp
from rerank_service.quantities import counted

_ECHO = re.compile(r":? ?(bytearray\()?b['\"].*", re.DOTALL)
"""The sent bytes in an error of h11. They may be a secret, such as a malformed API key."""
_READ_BYTES = 32 * 1024
"""Size of one read without TLS. All of it is parsed in one turn of the event loop; asyncio would read 256 KiB."""
_PIPELINED_BYTES = 32 * 1024
"""Size of the bytes after a running request from which on nothing more is read."""
READ_PERIODS = 20
"""Maximum number of `progress_timeout` in which a client reads a large response. It counts for no limit meanwhile."""
_TOO_LARGE = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE


class LimitedConnection(H11Protocol):
    """A connection with limits."""

    def __init__(self, limits: ConnectionLimits, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.conn = LimitedParser()
        self._limits = limits
        self._request_timer: asyncio.TimerHandle | None = None
        self._read_timer: asyncio.TimerHandle | None = None
        self._read_progress = MIN_PROGRESS_BYTES
        self._below: asyncio.Transport = None  # type: ignore[assignment]  # as `transport`: that of the socket

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        """Wait for the header of the first request."""
        super().connection_made(transport)
        limit_unread_time(transport, self._limits.progress_timeout)
        self._below = below_tls(transport)
        for each in (transport, self._below):
            each.set_write_buffer_limits(high=1)  # pause_writing is called for every response that waits
        self._below.max_size = _READ_BYTES  # type: ignore[attr-defined]  # asyncio has no setting for it
        self._start_request_timer(self._limits.header_timeout)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop all timers."""
        self._stop_request_timer()
        self._stop_read_timer()
        super().connection_lost(exc)
        if self._below is not None:
            break_cycle(self._below)

    def abort(self) -> None:
        """End the connection at once. A transport of TLS that was closed twice cannot do that; the one below it can."""
        self._below.abort()

    def waiting_bytes(self) -> int:
        """Return the number of bytes that the kernel has not taken yet."""
        return waiting_bytes(self.transport, self._below)

    def data_received(self, data: bytes) -> None:
        """Read a part of a request. Ignore bytes after the last request of the connection (RFC 9112, section 9.6)."""
        if self.conn.their_state is h11.MUST_CLOSE:
            return
        super().data_received(data)
        if self._ended_late():
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )
        self._watch_request()

    def handle_events(self) -> None:
        """Handle the bytes that have arrived. Read on beside a running request: otherwise, its client could not end it.

        uvicorn pauses when bytes of a next request wait, so it would not see the end of the connection.
        """
        super().handle_events()
        waits = self.flow.read_paused and self.conn.their_state is h11.DONE
        if waits and len(self.conn.trailing_data[0]) < _PIPELINED_BYTES:
            self.flow.resume_reading()

    def _ended_late(self) -> bool:
        """Return whether the end of a body has come after its response. uvicorn has stopped its timer then."""
        return (
            self.cycle is not None
            and self.cycle.response_complete
            and self.conn.their_state is h11.IDLE
            and not self.conn.trailing_data[0]
            and self.timeout_keep_alive_task is None
            and not self.transport.is_closing()
        )

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - the error of h11 says more
        """Reject bytes that are no HTTP: uvicorn calls this method while it handles an error of h11.

        If a response has begun or was sent, there is no place for an error. Its end closes the connection.
        """
        if self.conn.our_state is h11.SEND_BODY:
            self.cycle.keep_alive = False
            self.flow.pause_reading()  # h11 would keep all further bytes
            return
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            if self.cycle is not None:  # the request may still run: it must not send a second response
                self.cycle.disconnected = True
                self.cycle.message_event.set()
            error = sys.exception()
            self._send_error(_malformed(error))
            if error is not None:
                traceback.clear_frames(error.__traceback__)  # a frame of h11 refers to the error
        self.transport.close()

    def _send_error(self, error: MalformedHttp) -> None:
        content = dump_json(error_body(error, {}))
        headers = [
            ("content-type", "application/json"),
            ("content-length", str(len(content))),
            ("connection", "close"),
        ]
        phrase = HTTPStatus(error.http_status).phrase
        head = h11.Response(status_code=error.http_status, headers=headers, reason=phrase)
        for event in (head, h11.Data(data=content), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")

    def on_response_complete(self) -> None:
        """Wait for the next request, and until the client reads: TLS calls `pause_writing` for later writes only."""
        super().on_response_complete()
        self._watch_request()
        self._stop_read_timer()  # with TLS, that of an earlier response may run, though the client has read it
        if self.waiting_bytes():
            self._watch_reader()

    def pause_writing(self) -> None:
        """Wait until the client reads."""
        super().pause_writing()
        self._stop_read_timer()
        self._watch_reader()

    def resume_writing(self) -> None:
        """Stop waiting if the client has read everything. With TLS, bytes may still wait below."""
        super().resume_writing()
        if not self.waiting_bytes():
            self._stop_read_timer()

    def _unsupported_upgrade_warning(self) -> None:
        """Log nothing: the server ignores `Upgrade` (RFC 9110, 7.8). Java's client sends it with each first request."""

    def _watch_request(self) -> None:
        """Keep one timer while the client owes a header, or the end of a body that nothing reads any more."""
        answered = self.conn.our_state in (h11.DONE, h11.MUST_CLOSE)
        begun = self.timeout_keep_alive_task is None or bool(self.conn.trailing_data[0])
        if self.conn.their_state is h11.IDLE and begun:
            self._start_request_timer(self._limits.header_timeout)
        elif self.conn.their_state is h11.SEND_BODY and answered:
            self._start_request_timer(self._limits.progress_timeout)
        else:
            self._stop_request_timer()

    def _start_request_timer(self, seconds: float) -> None:
        """Start the timer if it does not run: more bytes do not extend it."""
        if self._request_timer is None:
            self._request_timer = self.loop.call_later(seconds, self.transport.close)

    def _stop_request_timer(self) -> None:
        if self._request_timer is not None:
            self._request_timer.cancel()
            self._request_timer = None

    def _watch_reader(self) -> None:
        self._read_progress = max(MIN_PROGRESS_BYTES, self._unread_bytes() // READ_PERIODS)
        self._start_read_timer()

    def _unread_bytes(self) -> int:
        return unread_bytes(self.transport, self._below)

    def _start_read_timer(self) -> None:
        left = self._unread_bytes()
        self._read_timer = self.loop.call_later(self._limits.progress_timeout, self._check_reader, left)

    def _check_reader(self, before: int) -> None:
        """Reset the connection if the client has read less than it must since the timer started."""
        self._read_timer = None
        if not self.waiting_bytes():
            return  # the kernel watches the rest
        if self._unread_bytes() > before - self._read_progress:
            self.abort()
        else:
            self._start_read_timer()

    def _stop_read_timer(self) -> None:
        if self._read_timer is not None:
            self._read_timer.cancel()
            self._read_timer = None


def _malformed(error: BaseException | None) -> MalformedHttp:
    """Return the error for bytes that h11 rejects."""
    if isinstance(error, h11.RemoteProtocolError) and error.error_status_hint == _TOO_LARGE:
        return MalformedHttp(
            f"The path and the headers have more than {counted(MAX_HEADER_BYTES, 'byte')} or "
            f"{counted(MAX_HEADER_LINES, 'line')}: send fewer or shorter ones.",
            status=_TOO_LARGE,
        )
    reason = excerpt(_ECHO.sub("", str(error)))
    return MalformedHttp(f"This is not a valid HTTP request: {reason}. Send HTTP/1.1.", status=HTTPStatus.BAD_REQUEST)
