"""Random HTTP/2 frames for the gRPC port, that no library would send."""

import gzip
import re
from collections.abc import Callable, Container, Sequence
from random import Random

from rerank.v1 import rerank_pb2 as pb
from support.http2 import PREFACE, START, call_fields, field, frame, message
from torture.grpc_fuzz.case import FramesCase
from torture.part import Outcome
from torture.wire import Received, Step

_DATA, _HEADERS, _PRIORITY, _RST, _SETTINGS, _PUSH, _PING, _GOAWAY, _WINDOW, _CONTINUATION = range(10)
_END_STREAM, _ACK, _END_HEADERS, _PADDED, _HAS_PRIORITY = 1, 1, 4, 8, 0x20
_METHOD = "/rerank.v1.Rerank/Rerank"
_REQUEST = pb.RerankRequest(query="1", documents=[pb.Document(text="1 2"), pb.Document(text="3")]).SerializeToString()
_STATUS = re.compile(rb"grpc-status[\x01\x02]([0-9]{1,2})")
"""A status, as gRPC's core writes the first one of a connection: literal, and without Huffman's code."""
_WRONG = {b"2": "UNKNOWN", b"13": "INTERNAL", b"15": "DATA_LOSS"}
_PAUSE = 1.0
"""Seconds in which the answer arrives. The client does not wait longer, nor any time after the answer."""
_LONG_PAUSE = 60.0
"""The same for a valid call, which is answered on a slow machine, too."""


def _block(*more: tuple[bytes, bytes], without: Sequence[bytes] = (), path: bytes = _METHOD.encode()) -> bytes:
    fields = (*call_fields(path).items(), *more)
    return b"".join(field(name, value) for name, value in fields if name not in without)


def _call(*more: tuple[bytes, bytes], stream: int = 1, body: bytes | None = None, **fields: object) -> bytes:
    """Return a call with one message, or with these bytes as its data."""
    block = _block(*more, **fields)  # type: ignore[arg-type]
    data = message(stream, _REQUEST) if body is None else frame(_DATA, _END_STREAM, stream, body)
    return frame(_HEADERS, _END_HEADERS, stream, block) + data


def _of(title: str, *data: bytes, by_library: bool = False) -> FramesCase:
    """Return frames after the start of a connection. The client ends its side, after a pause for the answer."""
    steps = [Step(START), *map(Step, data), Step(pause=_PAUSE), Step(end=True)]
    return FramesCase(title=title, steps=tuple(steps), by_library=by_library)


def _accepted(title: str, *data: bytes) -> FramesCase:
    """Return frames of one valid call."""
    steps = [Step(START), *map(Step, data), Step(pause=_LONG_PAUSE), Step(end=True)]
    return FramesCase(title=title, steps=tuple(steps), calls=_METHOD)


def _valid(_rng: Random) -> FramesCase:
    return _accepted("a valid call", _call())


def _coded(rng: Random) -> FramesCase:
    """A message with the flag of compression. gRPC's core decompresses it, or answers by its own rules."""
    coding = rng.choice((b"gzip", b"deflate", b"identity", b"br", b"", b"gzip,gzip"))
    data = rng.choice(
        (gzip.compress(_REQUEST, mtime=0), _REQUEST, b"", gzip.compress(_REQUEST, mtime=0)[:-3], b"\x1f\x8b" * 50)
    )
    body = rng.choice((b"\1", b"\1", b"\0", b"\2", b"\xff")) + len(data).to_bytes(4, "big") + data
    return _of(f"compressed as {coding.decode()}", _call((b"grpc-encoding", coding), body=body), by_library=True)


def _bomb(rng: Random) -> FramesCase:
    data = gzip.compress(bytes(rng.choice((1_000_000, 50_000_000))), mtime=0)[:16_000]
    return _of(
        "bomb", _call((b"grpc-encoding", b"gzip"), body=b"\1" + len(data).to_bytes(4, "big") + data), by_library=True
    )


def _lengths(rng: Random) -> FramesCase:
    size = rng.choice((0, 1, len(_REQUEST) - 1, len(_REQUEST) + 1, 2**25 + 1, 2**31, 2**32 - 1))
    data = b"\0" + size.to_bytes(4, "big") + _REQUEST
    return _of("wrong length of a message", _call(body=rng.choice((data, data[:3], b"", data + data))), by_library=True)


def _timeouts(rng: Random) -> FramesCase:
    values = (
        b"1",
        b"x",
        b"-1S",
        b"1S",
        b"99999999H",
        b"999999999999H",
        b"0n",
        b"1X",
        b"",
        b" 1S",
        b"1.5S",
        b"1S1S",
        b"\xff",
    )
    return _of("grpc-timeout", _call((b"grpc-timeout", rng.choice(values))), by_library=True)


def _headers_of(rng: Random) -> FramesCase:
    fields = (
        *(
            (b"x", b"y"),
            (b"X", b"y"),
            (b"", b"y"),
            (b":x", b"y"),
            (b"x", b"\0"),
            (b"x", b"a\r\nb"),
            (b"x", b"\xff"),
            (b"x-bin", b"%%%"),
        ),
        *(
            (b"content-length", b"5"),
            (b"content-length", b"-1"),
            (b"transfer-encoding", b"chunked"),
            (b"connection", b"close"),
        ),
        *((b"x", b"a" * 20_000), (b"x-request-id", b"a\x7fb"), (b"grpc-status", b"0"), (b"te", b"x"), (b"host", b"y")),
        *((b":path", b"/x/y"), (b":method", b"GET"), (b"content-type", b"text/html"), (b"grpc-encoding", b"x")),
    )
    without = rng.choice(
        ((), (), (b":path",), (b":method",), (b"te",), (b"content-type",), (b":authority",), (b":scheme",))
    )
    more = [rng.choice(fields) for _ in range(rng.choice((0, 1, 1, 2, 200)))]
    return _of("headers", _call(*more, without=without), by_library=True)


def _hpack(rng: Random) -> FramesCase:
    blocks = (
        b"\x80",
        b"\xff" * 20,
        b"\x3f\xe1\xff\xff\xff\x0f",
        b"\x40",
        b"\0\x7f\xff\xff\xff\xff\xff",
        rng.randbytes(50),
        b"",
    )
    return _of("wrong HPACK", frame(_HEADERS, _END_HEADERS | _END_STREAM, 1, rng.choice(blocks)), by_library=True)


def _streams(rng: Random) -> FramesCase:
    stream = rng.choice((0, 2, 1, 2**31 - 1, 3))
    extra = rng.choice(
        (
            _call(stream=stream),
            frame(_DATA, 0, stream, b"x"),
            frame(_RST, 0, stream, bytes(4)),
            frame(_WINDOW, 0, stream, bytes(4)),
        )
    )
    return _of(f"stream {stream}", _call(), extra, by_library=True)


def _floods(rng: Random) -> FramesCase:
    count = rng.choice((10, 1000, 10_000))
    flood = rng.choice(
        (
            frame(_PING, 0, 0, bytes(8)) * count,
            frame(_SETTINGS, 0, 0) * count,
            frame(_PRIORITY, 0, 1, bytes(5)) * count,
            frame(_WINDOW, 0, 0, (1).to_bytes(4, "big")) * count,
            frame(_HEADERS, 0, 1, _block()) + frame(_CONTINUATION, 0, 1, b"\0\1x\1y" * 100) * count,
            frame(_DATA, 0, 1) * count,
        )
    )
    return _of("flood", flood)


def _resets(rng: Random) -> FramesCase:
    """Calls that are reset at once: rapid reset."""
    count = rng.choice((10, 200, 1000))
    data = b"".join(
        _call(stream=2 * number + 1) + frame(_RST, 0, 2 * number + 1, (8).to_bytes(4, "big")) for number in range(count)
    )
    return _of("rapid reset", data)


def _wrong_frames(rng: Random) -> FramesCase:
    frames = (
        frame(_SETTINGS, 0, 0, b"x"),
        frame(_SETTINGS, 0, 0, b"\0\4\xff\xff\xff\xff"),
        frame(_SETTINGS, 0, 0, b"\0\5\0\0\0\1"),
        frame(_SETTINGS, 0, 0, b"\0\4\0\0\0\0"),
        frame(_SETTINGS, _ACK, 0, b"xxxxxx"),
        frame(_WINDOW, 0, 0, (2**31 - 1).to_bytes(4, "big")) * 3,
        frame(_PING, 0, 1, bytes(8)),
        frame(_PING, 0, 0, b"x"),
        frame(_PUSH, _END_HEADERS, 1, bytes(4)),
        frame(_GOAWAY, 0, 0, bytes(8)),
        frame(_CONTINUATION, _END_HEADERS, 1, b""),
        frame(_HEADERS, _END_HEADERS | _PADDED, 1, b"\xff"),
        frame(_DATA, _PADDED, 1, b"\xff"),
        frame(99, 0xFF, 1, b"x" * 100),
        frame(_DATA, 0, 1, b"x" * 20_000),
        b"\xff\xff\xff" + frame(_DATA, 0, 1)[3:],
        rng.randbytes(200),
    )
    return _of("wrong frames", *(rng.choice(frames) for _ in range(rng.randrange(1, 4))), _call(), by_library=True)


def _no_http2(rng: Random) -> FramesCase:
    data = (
        *(
            b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
            PREFACE[:10],
            PREFACE,
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(300),
        ),
        *(b"", bytes(1000), rng.randbytes(300), PREFACE + b"\xff" * 100, b"POST / HTTP/1.0\r\n\r\n", PREFACE * 2),
    )
    return FramesCase(title="no HTTP/2", steps=(Step(rng.choice(data), pause=_PAUSE), Step(end=True)))


def _cut(rng: Random) -> FramesCase:
    whole = START + _call()
    at = rng.randrange(len(whole))
    return FramesCase(
        title=f"cut after {at} bytes", steps=(Step(whole[:at], pause=_PAUSE), Step(end=True, reset=rng.random() < 0.3))
    )


def _split(rng: Random) -> FramesCase:
    """Headers in two frames, data in many."""
    block, body = _block(), b"\0" + len(_REQUEST).to_bytes(4, "big") + _REQUEST
    at = rng.randrange(len(block))
    data = b"".join(frame(_DATA, 0, 1, body[place : place + 1]) for place in range(len(body)))
    parts = frame(_HEADERS, 0, 1, block[:at]) + frame(_CONTINUATION, _END_HEADERS, 1, block[at:]) + data
    return _accepted("split frames", parts + frame(_DATA, _END_STREAM, 1))


def _paths(rng: Random) -> FramesCase:
    paths = (
        b"",
        b"/",
        b"*",
        b"/%ff",
        b"/\xff\xfe/x",
        b"/a\0b/c",
        b"/" + b"a" * 5000,
        b"/../../etc/passwd",
        b"http://x/y",
        _METHOD.encode() + b"?x",
    )
    return _of("unusual path", _call(path=rng.choice(paths)), by_library=True)


_CASES: tuple[Callable[[Random], FramesCase], ...] = (
    *(_valid, _coded, _bomb, _lengths, _timeouts, _headers_of, _headers_of, _hpack, _streams, _floods, _resets),
    *(_wrong_frames, _wrong_frames, _no_http2, _cut, _split, _paths),
)


def random_frames(rng: Random) -> FramesCase:
    """Return frames of one of the kinds above."""
    return rng.choice(_CASES)(rng)


def is_answered(data: bytes | bytearray) -> bool:
    """Return whether the server has sent the status of a call."""
    return _STATUS.search(data) is not None


def judge_frames(case: FramesCase, received: Received, data: bytes, *, serves: Container[str]) -> Outcome:
    """Return the outcome of frames. `serves` has the paths of all methods of the port."""
    statuses = _STATUS.findall(data)
    kind = f"frames: status {statuses[0].decode()}" if statuses else "frames: no status"
    problem = ""
    if not received.closed:
        problem = "the server did not close the connection after the client"
    elif case.calls in serves and statuses != [b"0"]:
        problem = f"a valid call got {kind.removeprefix('frames: ')}"
    elif not case.by_library and (wrong := [_WRONG[status] for status in statuses if status in _WRONG]):
        problem = f"the status is {wrong[0]}"
    return Outcome(kind, problem, case.as_json() if problem else None)
