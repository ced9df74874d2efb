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
"""The bytes of a client before its first call."""
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
    `more` are further ones, with values that no library would send."""
    values = call_fields(method.encode()) | {name.encode(): value for name, value in (more or {}).items()}
    block = b"".join(field(name, value) for name, value in values.items() if name != without.encode())
    return frame(_HEADERS, _END_HEADERS, stream, block)


def call_fields(path: bytes) -> dict[bytes, bytes]:
    """Return the header fields of a call."""
    return {
        b":method": b"POST",
        b":scheme": b"http",
        b":path": path,
        b":authority": b"x",
        b"content-type": b"application/grpc",
        b"te": b"trailers",
    }


def field(name: bytes, value: bytes) -> bytes:
    """Return a header field, literal and without Huffman's code."""
    return b"\0" + _length(name) + name + _length(value) + value


def _length(text: bytes) -> bytes:
    """Return the length of a text in HPACK's integers with a prefix of 7 bits."""
    size = len(text)
    if size < 127:
        return bytes([size])
    written, size = bytearray([127]), size - 127
    while size >= 128:
        written.append(size % 128 + 128)
        size //= 128
    return bytes([*written, size])


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
