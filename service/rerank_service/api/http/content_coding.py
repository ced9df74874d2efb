"""Content codings of request bodies: decompress gzip, deflate, br and zstd while a body arrives.

A decoder returns about 64 KiB at a time, so a small body that would become a huge one is rejected early.
"""

import sys
import zlib
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import brotli

from rerank_service.error_text import excerpt
from rerank_service.errors import InvalidRequest, UnsupportedCoding
from rerank_service.quantities import counted

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

CONTENT_ENCODING = "Content-Encoding"
PIECE_BYTES = 64 * 1024
"""Size of a full piece of decompressed data, in bytes. A piece of brotli may be half as large again."""
_MAX_CODINGS = 3
_MAX_MEMBERS = 10_000
"""Maximum number of members (gzip) or frames (zstd) in all codings of a body. Each costs about 20 µs, even if it is
empty."""
_UNAUTHENTICATED_MEMBERS = 16
"""Number of members that are read before the API key is checked."""
_ZSTD_OPTIONS: dict[int, int] = {zstd.DecompressionParameter.window_log_max: 23}
"""Windows of at most 8 MiB, which RFC 9659 sets as the limit for HTTP: a decoder allocates the window."""


class Decoder(Protocol):
    """Decompresses the data of one coding."""

    @property
    def complete(self) -> bool:
        """True if the data has ended where it may end."""

    def pieces(self, data: bytes) -> Iterator[bytes]:
        """Decompress the next part of the data, piece by piece. Invalid data raises an error of the library."""


class Members:
    """Counts the members in all codings of a body."""

    def __init__(self, check_key: Callable[[], object]) -> None:
        """`check_key` raises an error if the request has no valid API key."""
        self._check_key = check_key
        self._count = 0

    def add(self) -> None:
        """Count one more. Too many of them raise an error."""
        self._count += 1
        if self._count == _UNAUTHENTICATED_MEMBERS + 1:
            self._check_key()
        if self._count > _MAX_MEMBERS:
            raise zlib.error(f"more than {counted(_MAX_MEMBERS, 'member')}")


class _Gzip:
    """Decoder for gzip with any number of members."""

    def __init__(self, members: Members) -> None:
        self._inflater: Any = None
        self._members = members

    @property
    def complete(self) -> bool:
        """True after a whole member."""
        return self._inflater is not None and self._inflater.eof

    def pieces(self, data: bytes) -> Iterator[bytes]:
        """Decompress the next part of the data."""
        while data:
            if self._inflater is None or self._inflater.eof:
                self._members.add()
                self._inflater = zlib.decompressobj(zlib.MAX_WBITS | 16)
            yield from _inflated(self._inflater, data)
            data = self._inflater.unused_data


class _Deflate:
    """Decoder for deflate. RFC 9110 requires zlib's header, which some senders leave out."""

    def __init__(self, _members: Members) -> None:
        self._start = b""
        self._inflater: Any = None

    @property
    def complete(self) -> bool:
        """True at the end of the data."""
        return self._inflater is not None and self._inflater.eof

    def pieces(self, data: bytes) -> Iterator[bytes]:
        """Decompress the next part of the data."""
        if self._inflater is None:
            data = self._start = self._start + data
            if len(data) < 2:  # too short for the header
                return
            has_header = data[0] & 0x0F == zlib.DEFLATED and int.from_bytes(data[:2]) % 31 == 0
            self._inflater = zlib.decompressobj(zlib.MAX_WBITS if has_header else -zlib.MAX_WBITS)
        ended = self.complete and data
        yield from _inflated(self._inflater, data)
        if ended or self._inflater.unused_data:
            raise zlib.error("data after the end")


def _inflated(inflater: Any, data: bytes) -> Iterator[bytes]:
    """Yield the decompressed data up to the end of the stream."""
    full = True
    while (data or full) and not inflater.eof:
        piece = inflater.decompress(data, PIECE_BYTES)
        yield piece
        data, full = inflater.unconsumed_tail, len(piece) == PIECE_BYTES


class _Brotli:
    """Decoder for br."""

    def __init__(self, _members: Members) -> None:
        self._decompressor = brotli.Decompressor()

    @property
    def complete(self) -> bool:
        """True at the end of the data."""
        return bool(self._decompressor.is_finished())

    def pieces(self, data: bytes) -> Iterator[bytes]:
        """Decompress the next part of the data."""
        full = False
        while data or full or not self._decompressor.can_accept_more_data():
            piece = self._decompressor.process(data, output_buffer_limit=PIECE_BYTES)
            yield piece
            data, full = b"", len(piece) >= PIECE_BYTES and not self.complete


class _Zstd:
    """Decoder for zstd with any number of frames."""

    def __init__(self, members: Members) -> None:
        self._decompressor: Any = None
        self._members = members

    @property
    def complete(self) -> bool:
        """True after a whole frame."""
        return self._decompressor is not None and self._decompressor.eof

    def pieces(self, data: bytes) -> Iterator[bytes]:
        """Decompress the next part of the data."""
        while data:
            if self._decompressor is None or self._decompressor.eof:
                self._members.add()
                self._decompressor = zstd.ZstdDecompressor(options=_ZSTD_OPTIONS)
            yield self._decompressor.decompress(data, PIECE_BYTES)
            while not (self._decompressor.needs_input or self._decompressor.eof):
                yield self._decompressor.decompress(b"", PIECE_BYTES)
            data = self._decompressor.unused_data if self._decompressor.eof else b""


_DECODERS: dict[str, Callable[[Members], Decoder]] = {"gzip": _Gzip, "deflate": _Deflate, "br": _Brotli, "zstd": _Zstd}
_ALIASES = {"x-gzip": "gzip"}
ACCEPTED = ", ".join(_DECODERS)
"""The supported codings, as the value of the header `Accept-Encoding`."""


class CodedBody:
    """Decompresses a body that has one coding, and reports invalid data."""

    def __init__(self, coding: str, members: Members) -> None:
        """`members` counts those of all codings of the body."""
        self._coding = coding
        self._decoder = _DECODERS[coding](members)

    def pieces(self, data: bytes) -> Iterator[bytes]:
        """Decompress the next part of the body, piece by piece.

        Raises:
            InvalidRequest: the body is not data of the coding.
        """
        try:
            yield from self._decoder.pieces(data)
        except (zlib.error, brotli.error, zstd.ZstdError) as error:
            raise _invalid(
                f"The body is not valid {self._coding} data, although {CONTENT_ENCODING} names {self._coding}: "
                f"compress it, or leave the header out ({error})"
            ) from error

    def finish(self) -> None:
        """Check that the body has ended.

        Raises:
            InvalidRequest: a part of the compressed data is missing.
        """
        if not self._decoder.complete:
            raise _invalid(f"The body ends before the end of its {self._coding} data: send all of it.")


def codings_of(values: list[str]) -> list[str]:
    """Return the codings in the values of `Content-Encoding`, in the order in which they were applied.

    Raises:
        UnsupportedCoding: a coding is unknown, or there are more than 3.
    """
    names = [name.strip().lower() for value in values for name in value.split(",")]
    codings = [_ALIASES.get(name, name) for name in names if name not in ("", "identity")]
    unknown = next((coding for coding in codings if coding not in _DECODERS), None)
    if unknown is not None:
        raise UnsupportedCoding(
            f"{CONTENT_ENCODING} {excerpt(unknown)!r} is not supported: send the body uncompressed, or as one of "
            f"{ACCEPTED}",
            field=CONTENT_ENCODING,
            accepted=ACCEPTED,
        )
    if len(codings) > _MAX_CODINGS:
        raise UnsupportedCoding(
            f"{CONTENT_ENCODING} has {counted(len(codings), 'coding')}; at most {_MAX_CODINGS} are supported: "
            "compress the body once",
            field=CONTENT_ENCODING,
            accepted=ACCEPTED,
        )
    return codings


def _invalid(message: str) -> InvalidRequest:
    return InvalidRequest(message, field=CONTENT_ENCODING, reason="invalid_content_encoding")
