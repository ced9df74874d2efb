"""Decoders of content codings: data in parts of any size, and data that is invalid."""

import gzip
import sys
import zlib
from collections.abc import Callable

import brotli
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerank_service.api.http.content_coding import CodedBody, Members, codings_of
from rerank_service.errors import InvalidRequest, UnsupportedCoding

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd


def raw_deflate(data: bytes) -> bytes:
    """Return deflate data without zlib's header, as some senders write it."""
    compressor = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return compressor.compress(data) + compressor.flush()


_COMPRESS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "gzip": ("gzip", gzip.compress),
    "two gzip members": ("gzip", lambda data: gzip.compress(data[:5]) + gzip.compress(data[5:])),
    "deflate": ("deflate", zlib.compress),
    "fast deflate": ("deflate", lambda data: zlib.compress(data, 1)),
    "raw deflate": ("deflate", raw_deflate),
    "br": ("br", brotli.compress),
    "zstd": ("zstd", zstd.compress),
    "two zstd frames": ("zstd", lambda data: zstd.compress(data[:5]) + zstd.compress(data[5:])),
    "zstd with a skippable frame": ("zstd", lambda data: b"\x50\x2a\x4d\x18\x03\0\0\0abc" + zstd.compress(data)),
}


def _decoded(coding: str, data: bytes, size: int) -> bytes:
    coded = CodedBody(coding, Members(lambda: None))
    out = b"".join(piece for start in range(0, len(data), size) for piece in coded.pieces(data[start : start + size]))
    coded.finish()
    return out


@pytest.mark.parametrize("name", _COMPRESS)
@given(data=st.binary(), size=st.integers(1, 100))
def test_data_may_come_in_parts(name: str, data: bytes, size: int) -> None:
    """Even byte by byte."""
    coding, compress = _COMPRESS[name]
    assert _decoded(coding, compress(data), size) == data


@pytest.mark.parametrize("name", _COMPRESS)
@pytest.mark.parametrize("length", [1, 65_535, 65_536, 65_537, 98_272, 98_273, 131_072, 3_000_000])
def test_pieces_are_small(name: str, length: int) -> None:
    """A bomb can be rejected before its data is in memory. No data is lost at the end of a piece."""
    coding, compress = _COMPRESS[name]
    coded = CodedBody(coding, Members(lambda: None))
    sizes = [len(piece) for piece in coded.pieces(compress(b"a" * length))]
    coded.finish()
    assert sum(sizes) == length
    assert max(sizes) <= 131_072


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd"])
@pytest.mark.parametrize("data", [b'{"query": "0", "documents": ["1"]}', b"\xff" * 40])
def test_data_that_is_not_compressed_is_named(coding: str, data: bytes) -> None:
    """The message says what to do."""
    with pytest.raises(
        InvalidRequest, match=rf"not valid {coding} data.*compress it, or leave the header out"
    ) as caught:
        _decoded(coding, data, 100)
    assert (caught.value.field, caught.value.http_status) == ("Content-Encoding", 400)


@pytest.mark.parametrize("name", [name for name in _COMPRESS if "two" not in name])
def test_truncated_data_is_an_error(name: str) -> None:
    """At each byte, also without any data."""
    coding, compress = _COMPRESS[name]
    data = compress(b"0123456789" * 3)
    whole_frames = {11} if "skippable" in name else set()
    for end in set(range(len(data))) - whole_frames:
        with pytest.raises(InvalidRequest):
            _decoded(coding, data[:end], 100)


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd"])
@pytest.mark.parametrize("size", [1, 1000])
def test_data_after_the_end_is_an_error(coding: str, size: int) -> None:
    """It would be lost."""
    with pytest.raises(InvalidRequest, match=f"not valid {coding} data"):
        _decoded(coding, _COMPRESS[coding][1](b"hello") + b"{}", size)


def test_zstd_window_is_limited() -> None:
    """RFC 9659 allows 8 MiB. A decoder allocates the window."""
    options: dict[int, int] = {zstd.CompressionParameter.window_log: 27, zstd.CompressionParameter.content_size_flag: 0}
    compressor = zstd.ZstdCompressor(options=options)
    data = compressor.compress(b"a" * 1000) + compressor.flush()
    with pytest.raises(InvalidRequest, match="not valid zstd data"):
        _decoded("zstd", data, 1000)


@pytest.mark.parametrize(
    ("values", "codings"),
    [
        ([], []),
        (["identity"], []),
        ([""], []),
        (["GZip"], ["gzip"]),
        (["x-gzip"], ["gzip"]),
        (["deflate, gzip"], ["deflate", "gzip"]),
        (["br", "identity , zstd"], ["br", "zstd"]),
    ],
)
def test_codings_are_read_in_their_order(values: list[str], codings: list[str]) -> None:
    """In any case, in one header or in several."""
    assert codings_of(values) == codings


@pytest.mark.parametrize("value", ["compress", "utf-8", "gzip, snappy", "gzip,gzip,gzip,gzip", "*"])
def test_unsupported_coding_lists_the_supported_ones(value: str) -> None:
    """Also if there are too many."""
    with pytest.raises(UnsupportedCoding) as caught:
        codings_of([value])
    assert (caught.value.http_status, caught.value.accepted) == (415, "gzip, deflate, br, zstd")
