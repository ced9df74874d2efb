"""h11's parser, with limits of what costs much more time than its bytes suggest."""

import re
from http import HTTPStatus
from typing import Any

import h11

MAX_HEADER_BYTES = 64 * 1024
"""Maximum size of a header. The parser knows it for headers that arrive in parts (checked_headers.py)."""
MAX_HEADER_LINES = 200
"""Maximum number of lines of a header, and of trailers. Each costs 3 µs, and 64 KiB have 16,000 of them."""
_BLANK_LINE = re.compile(rb"\n\r?\n")
_CHUNK_LINE = re.compile(rb"\r?\n?([0-9a-fA-F]+)[^\n]*\n")
"""The end of a chunk, and the line of the next one with its size. After size 0, the trailers follow."""
_SMALL_CHUNKS = 1_000
"""Number of chunks of any size. Each costs about 11 µs."""
_CHUNK_BYTES = 8
"""Average size from which on the number of chunks is not limited. Clients that send each token of JSON in a chunk have
larger ones, since texts are tokens."""


class LimitedParser(h11.Connection):
    """The parser of a connection. A request above a limit is an error of h11, like bytes that are no HTTP."""

    def __init__(self) -> None:
        super().__init__(h11.SERVER, MAX_HEADER_BYTES)
        self._chunks = 0
        self._chunk_bytes = 0
        self._between_chunks = False
        self._in_trailers = False

    def next_event(self) -> Any:
        """Return the next event.

        Raises:
            h11.RemoteProtocolError: the bytes are no HTTP, or above a limit.
        """
        if self.their_state is h11.IDLE:
            self._skip_empty_lines()
            self._check_lines()
        elif self.their_state is h11.SEND_BODY:
            self._check_trailers()
        event = super().next_event()
        if event is h11.NEED_DATA:
            self._check_lines()  # without its end, this is a header, or the trailers of a body in chunks
        elif isinstance(event, h11.Request):
            self._chunks = self._chunk_bytes = 0
            self._between_chunks = any(name == b"transfer-encoding" for name, _ in event.headers)
        elif isinstance(event, h11.Data):
            self._count(event)
        elif isinstance(event, h11.EndOfMessage):
            self._in_trailers = False
        return event

    def _skip_empty_lines(self) -> None:
        """Ignore empty lines before a request (RFC 9112, section 2.2). h11 takes them for a wrong request."""
        waiting = self.trailing_data[0]
        if waiting.startswith((b"\r", b"\n")):
            self._receive_buffer.maybe_extract_at_most(len(waiting) - len(waiting.lstrip(b"\r\n")))

    def _check_trailers(self) -> None:
        """Check the trailers before they are parsed: all of them may arrive with the last chunk."""
        if self._in_trailers:
            self._check_lines()
        elif self._between_chunks and (line := _CHUNK_LINE.match(self.trailing_data[0])):
            self._between_chunks = False
            self._in_trailers = not line[1].strip(b"0")
            if self._in_trailers:
                self._check_lines(line.end())

    def _check_lines(self, start: int = 0) -> None:
        waiting = self.trailing_data[0]
        if waiting.count(b"\n", start) > MAX_HEADER_LINES:
            if self._in_trailers and waiting.startswith((b"\r\n", b"\n"), start):
                return  # no trailers: the lines belong to the next requests
            end = _BLANK_LINE.search(waiting, start)
            if waiting.count(b"\n", start, end.start() + 1 if end else None) > MAX_HEADER_LINES:
                raise h11.RemoteProtocolError(
                    f"more than {MAX_HEADER_LINES} lines", error_status_hint=HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
                )

    def _count(self, part: h11.Data) -> None:
        self._between_chunks = part.chunk_end
        self._chunks += part.chunk_start
        self._chunk_bytes += len(part.data)
        if self._chunks > _SMALL_CHUNKS + self._chunk_bytes // _CHUNK_BYTES:
            raise h11.RemoteProtocolError(f"its chunks have less than {_CHUNK_BYTES} bytes on average")
