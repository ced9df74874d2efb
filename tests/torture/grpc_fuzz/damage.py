"""Changes of the bytes of a protobuf message: some leave it valid, most do not."""

from collections.abc import Callable
from random import Random

_VARINT, _FIXED64, _DELIMITED, _START, _END, _FIXED32 = range(6)
_LARGE = 300 * 1024
"""Messages above 256 KiB are parsed in parts."""


def varint(number: int) -> bytes:
    """Return a number of variable length."""
    written = bytearray()
    while number >= 0x80:
        written.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*written, number])


def tag(number: int, kind: int) -> bytes:
    """Return the tag of a field."""
    return varint(number << 3 | kind)


def delimited(number: int, content: bytes) -> bytes:
    """Return a field with a length."""
    return tag(number, _DELIMITED) + varint(len(content)) + content


def damaged(rng: Random, data: bytes) -> bytes:
    """Return the bytes with one to three changes."""
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        data = rng.choice(_DAMAGES)(rng, data)
    return data


def _cut(rng: Random, data: bytes) -> bytes:
    return data[: rng.randrange(len(data) + 1)]


def _flip(rng: Random, data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 3, 30)) if data else 0):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _at_an_end(rng: Random, data: bytes, added: bytes) -> bytes:
    return added + data if rng.random() < 0.5 else data + added


def _unknown_field(rng: Random, data: bytes) -> bytes:
    number = rng.choice((15, 16, 100, 19_000, 2**29 - 1))
    fields = (
        tag(number, _VARINT) + varint(rng.choice((0, 2**32, 2**63, 2**64 - 1))),
        tag(number, _FIXED64) + bytes(8),
        tag(number, _FIXED32) + bytes(4),
        delimited(number, bytes(rng.choice((0, 10, 1000)))),
    )
    return _at_an_end(rng, data, rng.choice(fields) * rng.choice((1, 1, 1000)))


def _group(rng: Random, data: bytes) -> bytes:
    number, other = rng.choice((1, 2, 100)), rng.choice((1, 2, 100))
    levels = rng.choice((1, 1, 2, 50, 99, 100, 101, 1000, 100_000))
    opened, closed = tag(number, _START) * levels, tag(number, _END) * levels
    groups = (
        opened + closed,
        opened + delimited(other, b"x") + closed,
        opened,
        closed,
        tag(number, _START) + tag(other + 1, _END),
    )
    return _at_an_end(rng, data, rng.choice(groups))


def _wrong_kind(rng: Random, data: bytes) -> bytes:
    number, kind = rng.randrange(1, 16), rng.choice((_VARINT, _FIXED64, _FIXED32, 6, 7, _DELIMITED))
    return _at_an_end(rng, data, tag(number, kind) + rng.choice((b"", b"\0", bytes(8), b"\xff" * 11, b"\x05hello")))


def _zero_tag(rng: Random, data: bytes) -> bytes:
    return _at_an_end(rng, data, rng.choice((b"\0", b"\0\0", b"\x02\0", b"\x80\0\0", b"\xfa\xff\xff\xff\xff\x01")))


def _wrong_length(rng: Random, data: bytes) -> bytes:
    length = rng.choice((1, 2**7, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**63, 2**64 - 1))
    return _at_an_end(
        rng, data, tag(rng.randrange(1, 16), _DELIMITED) + varint(length) + b"x" * rng.choice((0, 1, 100))
    )


def _long_varint(rng: Random, data: bytes) -> bytes:
    return _at_an_end(
        rng, data, rng.choice((b"\x80" * 9 + b"\0", b"\x88\x80\x80\0\0", b"\xff" * rng.choice((1, 9, 10, 100))))
    )


def _repeat(rng: Random, data: bytes) -> bytes:
    return data * rng.choice((2, 2, 10, max(1, 10_000 // max(1, len(data)))))


def _wrong_text(rng: Random, data: bytes) -> bytes:
    wrong = rng.choice(
        (
            b"\xff\xfe",
            b"\xed\xa0\xbd",
            b"\xed\xa0\xbd\xed\xb8\x80",
            b"\xc0\x80",
            b"\0",
            b"\xe2\x82",
            b"\xf4\x90\x80\x80",
        )
    )
    return _at_an_end(rng, data, delimited(rng.randrange(1, 16), wrong))


def _nested(rng: Random, data: bytes) -> bytes:
    for _ in range(rng.choice((1, 10, 30, 99, 101, 200))):
        data = delimited(rng.choice((1, 2, 5, 6)), data)
    return data


def _large(rng: Random, data: bytes) -> bytes:
    """Make the message large, so that it is parsed in parts."""
    filler = rng.choice(
        (delimited(100, bytes(_LARGE)), tag(100, _VARINT) + b"\0", delimited(2, b"\x0a\x011"), delimited(3, b""))
    )
    return _at_an_end(rng, data, filler * max(1, _LARGE // len(filler) + 1))


def _other(rng: Random, _data: bytes) -> bytes:
    return rng.choice((b"", b"\0", b"\x0a", b"{}", rng.randbytes(rng.randrange(500)), b"\x0a\x00" * 1000))


_DAMAGES: tuple[Callable[[Random, bytes], bytes], ...] = (
    *(_cut, _flip, _flip, _unknown_field, _group, _wrong_kind, _zero_tag, _wrong_length, _long_varint, _repeat),
    *(_wrong_text, _nested, _large, _other),
)
