"""Frames of HTTP/2 for clients that no library would write (RFC 9113, section 4.1)."""

from collections.abc import Mapping

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _SETTINGS, PING, GOAWAY, _WINDOW_UPDATE = 0, 1, 4, 6, 7, 8
_ACK = 1
_END_HEADERS, _END_STREAM = 4, 1


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """Return a frame."""
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


SETTINGS = frame(_SETTINGS, 0, 0)
START = PREFACE + SETTINGS + frame(_SETTINGS, _ACK, 0)
"""What a client sends before its first call."""
_MAX_WINDOW = 2**31 - 1
START_WITH_LARGE_WINDOWS = (
    PREFACE
    + frame(_SETTINGS, 0, 0, (4).to_bytes(2, "big") + _MAX_WINDOW.to_bytes(4, "big"))
    + frame(_SETTINGS, _ACK, 0)
    + frame(_WINDOW_UPDATE, 0, 0, (_MAX_WINDOW - 65535).to_bytes(4, "big"))
)
"""The same for a client that lets the server send without limit, and may not read."""


def headers(stream: int, method: str, *, without: str = "", more: Mapping[str, bytes] | None = None) -> bytes:
    """Return the headers of a call; `method` is such as `/rerank.v1.Rerank/Rerank`. `without` is a header to omit, and
    `more` are further ones, with values of up to 126 bytes that no library would send."""
    fields = {
        ":method": "POST",
        ":scheme": "http",
        ":path": method,
        ":authority": "x",
        "content-type": "application/grpc",
        "te": "trailers",
    }
    values = {name: value.encode() for name, value in fields.items() if name != without} | dict(more or {})
    block = b"".join(b"\0" + _text(name.encode()) + _text(value) for name, value in values.items())
    return frame(_HEADERS, _END_HEADERS, stream, block)


def _text(value: bytes) -> bytes:
    return bytes([len(value)]) + value


def message(stream: int, content: bytes, *, size: int | None = None) -> bytes:
    """Return a message of a call, and the end of the client's side. With `size`, the message is only begun."""
    prefix = b"\0" + (len(content) if size is None else size).to_bytes(4, "big")
    return frame(_DATA, _END_STREAM if size is None else 0, stream, prefix + content)


def frames(received: bytes) -> list[tuple[int, int, bytes]]:
    """Return the kind, the stream and the payload of each frame."""
    found = []
    while received:
        end = 9 + int.from_bytes(received[:3], "big")
        found.append((received[3], int.from_bytes(received[5:9], "big"), received[9:end]))
        received = received[end:]
    return found
