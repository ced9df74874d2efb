"""Bodies with a Content-Encoding: valid, damaged, encoded twice, or far larger when decoded."""

import gzip
import sys
import zlib
from collections.abc import Callable
from random import Random

import brotli

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_BOMB_BYTES = (1_000_000, 40_000_000)


_CODERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": lambda data: gzip.compress(data, mtime=0),
    "x-gzip": lambda data: gzip.compress(data, mtime=0),
    "deflate": zlib.compress,
    "br": lambda data: brotli.compress(data, quality=1),
    "zstd": zstd.compress,
}
_UNKNOWN = ("compress", "x", "gzip;q=1", "\xff", "gzip" * 100, "*", "gzip gzip", ",,,", "GZIP", "aws-chunked")


def coded(rng: Random, data: bytes) -> tuple[str, bytes]:
    """Return a value of Content-Encoding, and a body that mostly has this coding."""
    return rng.choice((_valid, _valid, _damaged, _damaged, _damaged, _twice, _bomb, _mislabelled, _many_members))(
        rng, data
    )


def _valid(rng: Random, data: bytes) -> tuple[str, bytes]:
    name = rng.choice(tuple(_CODERS))
    return rng.choice((name, name.upper(), f"identity, {name}")), _CODERS[name](data)


def _damaged(rng: Random, data: bytes) -> tuple[str, bytes]:
    name, valid = _valid(rng, data)
    body = bytearray(valid)
    match rng.randrange(4):
        case 0:
            del body[rng.randrange(len(body)) :]
        case 1:
            body += rng.choice((b"x", b"\0" * 100, valid[:5], valid))
        case _:
            for _ in range(rng.choice((1, 1, 10))):
                body[rng.randrange(len(body))] ^= 1 << rng.randrange(8)
    return name, bytes(body)


def _twice(rng: Random, data: bytes) -> tuple[str, bytes]:
    names = [rng.choice(tuple(_CODERS)) for _ in range(rng.choice((2, 3, 4, 30)))]
    for name in names:
        data = _CODERS[name](data)
    return ", ".join(names), data


def _bomb(rng: Random, data: bytes) -> tuple[str, bytes]:
    large = data[:-1] + b" " * rng.choice(_BOMB_BYTES) + data[-1:]
    name, once = _valid(rng, large)
    if rng.random() < 0.5:
        return name, once
    return f"{name}, gzip", gzip.compress(once, mtime=0)


def _mislabelled(rng: Random, data: bytes) -> tuple[str, bytes]:
    _, body = _valid(rng, data)
    return rng.choice((*_UNKNOWN, *_CODERS)), rng.choice((data, body))


def _many_members(rng: Random, data: bytes) -> tuple[str, bytes]:
    name = rng.choice(("gzip", "zstd"))
    return name, _CODERS[name](data) + _CODERS[name](b"") * rng.choice((1, 100, 9_999, 10_000, 20_000))
