"""Bytes that are unusual or wrong HTTP: framing, request lines, headers, connections."""

from collections.abc import Callable
from random import Random

from torture.http_fuzz.case import HttpCase
from torture.http_fuzz.paths import ranking_paths
from torture.http_fuzz.request import plain_case
from torture.wire import Step

_BODY = b'{"query":"1","documents":["1 2","30"]}'
_PATH = "/v1/rerank"
_LIVE = b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"
_ONE = (("POST", _PATH),)
_GET = (("GET", "/health/live"),)
_LENGTH = b"Content-Length: %d" % len(_BODY)


def _head(*lines: bytes, start: bytes = b"POST /v1/rerank HTTP/1.1", host: bytes = b"Host: x") -> bytes:
    return b"\r\n".join((start, *([host] if host else []), *lines, b"", b""))


def _of(title: str, *steps: bytes | Step, answers: bool = False, closed: bool = False, **fields: object) -> HttpCase:
    made = tuple(step if isinstance(step, Step) else Step(step) for step in steps)
    given: dict[str, object] = {"requests": _ONE, **fields}
    return HttpCase(title=title, steps=made, must_answer=answers, until_closed=closed, **given)  # type: ignore[arg-type]


def _expect(rng: Random) -> HttpCase:
    value = rng.choice((b"100-continue", b"100-Continue", b"200-ok", b"100-continue, x", b""))
    head = _head(b"Expect: " + value, _LENGTH)
    return _of("Expect", Step(head, pause=rng.choice((0.0, 0.02))), _BODY, answers=value.lower() == b"100-continue")


def _old_version(rng: Random) -> HttpCase:
    version = rng.choice(
        (b"HTTP/1.0", b"HTTP/0.9", b"HTTP/1.2", b"HTTP/2.0", b"HTTP/1", b"http/1.1", b"HTTP/1.1 x", b"")
    )
    keep = rng.choice(((), (b"Connection: keep-alive",)))
    head = _head(_LENGTH, *keep, start=b"POST /v1/rerank " + version)
    return _of(f"version {version.decode()}", head, _BODY, answers=version == b"HTTP/1.0")


def _no_headers(rng: Random) -> HttpCase:
    line = rng.choice((b"GET /\r\n", b"GET /health/live\r\n", b"GET\r\n\r\n", b"\r\n\r\n", b"GET / HTTP/1.0\r\n\r\n"))
    return _of("HTTP/0.9", Step(line, end=rng.random() < 0.5), requests=_GET)


def _pipelined(rng: Random) -> HttpCase:
    cases = [plain_case(rng, rng.choice(ranking_paths())) for _ in range(rng.randrange(2, 6))]
    data = b"".join(step.data for case in cases for step in case.steps)
    requests = tuple(case.requests[0] for case in cases)
    return _of("pipelined", data, requests=requests, answers=True)


def _half_closed(rng: Random) -> HttpCase:
    whole = _head(_LENGTH) + _BODY
    at = rng.choice((len(whole), rng.randrange(len(whole))))
    return _of(f"half-closed after {at} bytes", Step(whole[:at], end=True))


def _reset(rng: Random) -> HttpCase:
    count = rng.choice((1, 3))
    whole = (_head(_LENGTH) + _BODY) * count
    at = rng.choice((len(whole), rng.randrange(len(whole))))
    step = Step(whole[:at], pause=rng.choice((0.0, 0.01)), reset=True)
    return _of(f"reset after {at} bytes", step, requests=_ONE * count)


def _chunks(rng: Random) -> HttpCase:
    wrong = (
        *(
            b"-1\r\n",
            b"x\r\n",
            b"\r\n",
            b"f" * 17 + b"\r\n",
            b"f" * 1000 + b"\r\n",
            b"0x26\r\n",
            b"+26\r\n",
            b" 26\r\n",
        ),
        *(
            b"26 \r\n",
            b"26\n",
            b"26\r",
            b"2\r\n",
            b"ffff\r\n",
            b"26;" + b"x" * 100_000 + b"\r\n",
            b"26;\0\r\n",
            b"2_6\r\n",
        ),
    )
    end = rng.choice(
        (
            b"\r\n0\r\n\r\n",
            b"0\r\n\r\n",
            b"\r\n0\r\n",
            b"\r\n-0\r\n\r\n",
            b"\r\n0\r\nx\r\n\r\n",
            b"\r\n0\r\nHost: y\r\n\r\n",
        )
    )
    data = _head(b"Transfer-Encoding: chunked") + rng.choice(wrong) + _BODY + end
    return _of("wrong chunks", Step(data, end=rng.random() < 0.3))


def _lengths(rng: Random) -> HttpCase:
    right = len(_BODY)
    values = (
        *(
            b"%d, %d" % (right, right),
            b"+%d" % right,
            b"-1",
            b"%d " % right,
            b"1e2",
            b"",
            b"0x10",
            b"9" * 30,
            b"9" * 5000,
        ),
        *(b"%d" % (right - 1), b"%d" % (right + 1), b"\xb2", b"3 8", b"%d;" % right, b"0"),
    )
    lines = [b"Content-Length: " + rng.choice(values)]
    lines += [_LENGTH] if rng.random() < 0.4 else []
    rng.shuffle(lines)
    return _of("wrong Content-Length", Step(_head(*lines) + _BODY, end=rng.random() < 0.5))


def _smuggled(rng: Random) -> HttpCase:
    """Both lengths: a proxy in front may read another end of the first request."""
    codings = (
        *(b"Transfer-Encoding: chunked", b"Transfer-Encoding: Chunked", b"Transfer-Encoding : chunked"),
        *(b"Transfer-Encoding: xchunked", b"Transfer-Encoding: chunked, identity", b"Transfer-Encoding:\x0bchunked"),
        *(
            b"Transfer-Encoding: identity, chunked",
            b"Transfer-Encoding: chunked\r\nTransfer-Encoding: x",
            b"X:\nTransfer-Encoding: chunked",
        ),
    )
    body = b"0\r\n\r\n" + _LIVE
    lines = [b"Content-Length: %d" % rng.choice((len(body), 5, 0)), rng.choice(codings)]
    rng.shuffle(lines)
    return _of("both lengths", _head(*lines) + body, closed=True)


def _large_head(rng: Random) -> HttpCase:
    size = rng.choice((1000, 16_000, 70_000, 1_000_000))
    lines = rng.choice(
        (
            b"X: " + b"a" * size,
            b"\r\n".join(b"X-%d: y" % number for number in range(size // 10)),
            b"a" * size + b": x",
            b"X: \r\n " + b"a" * size,
        )
    )
    return _of(f"head of {size} bytes", _head(_LENGTH, lines) + _BODY)


def _wrong_header(rng: Random) -> HttpCase:
    lines = (
        *(
            b"X",
            b"X : y",
            b" X: y",
            b": y",
            b"X: y\r z",
            b"X: a\0b",
            b"X\xff: y",
            b"X: \xff\xfe",
            b"X: y\nZ: w",
            b"\tX: y",
        ),
        *(b"X: y\r\n\tfolded", b"Host: y", b"Connection: \xff", b"Upgrade: websocket\r\nConnection: Upgrade", b"{}: x"),
        *(
            b"Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABk",
            b"Connection: close, close",
        ),
    )
    hosts = (
        b"Host: x",
        b"Host: x",
        b"",
        b"Host: ",
        b"Host: [",
        b"Host: [::1]:99999999",
        b"Host: a b",
        b"Host: x/y?z#",
        b"Host: \xff",
    )
    return _of("unusual header", _head(_LENGTH, rng.choice(lines), host=rng.choice(hosts)) + _BODY)


def _target(rng: Random) -> HttpCase:
    targets = (
        *(
            b"*",
            b"x:443",
            b"/../../etc/passwd",
            b"/playground/../../../etc/passwd",
            b"/playground/%2e%2e/%2e%2e/etc/passwd",
        ),
        *(
            b"/playground/..%2f..%2fetc/passwd",
            b"/%00",
            b"/%",
            b"/%zz",
            b"/%ff%fe",
            b"//",
            b"///x",
            b"/v1/rerank?x=%ff&&&",
        ),
        *(
            b"/v1/rerank;x=1",
            b"/v1/rerank#x",
            b"/v1/rerank%2f",
            b"/v1/rerank%00",
            b"/v1%2frerank",
            b"/" + b"a" * 60_000,
        ),
        *(
            b"/%0d%0aInjected:x",
            b"/v1/rerank?" + b"a" * 60_000,
            b"/a b",
            b"",
            b"/\xff",
            b"?x",
            b"v1/rerank",
            b"/%c0%af",
        ),
        *(
            b"http://",
            b"http:///v1/rerank",
            b"http://[/v1/rerank",
            b"ftp://x/v1/rerank",
            b"/static-offline-docs/../../x",
        ),
    )
    method = rng.choice((b"GET", b"POST", b"OPTIONS", b"CONNECT", b"HEAD", b"TRACE", b"PRI", b"P\xffST", b"GET " * 2))
    head = _head(_LENGTH, start=method + b" " + rng.choice(targets) + b" HTTP/1.1")
    return _of("unusual target", head + _BODY, requests=((method.decode("latin-1"), ""),))


def _absolute(rng: Random) -> HttpCase:
    target = rng.choice(
        (b"http://x/v1/rerank", b"http://x:8080/v1/rerank", b"HTTP://x/v1/rerank?y", b"https://x/v1/rerank")
    )
    return _of(
        "absolute target",
        _head(_LENGTH, start=b"POST " + target + b" HTTP/1.1") + _BODY,
        kind="plain",
        documents=2,
        answers=True,
    )


def _no_http(rng: Random) -> HttpCase:
    data = (
        *(
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 500,
        ),
        *(
            b"SSH-2.0-x\r\n",
            b"\0" * 100_000,
            b"\xff" * 1000,
            b"\r\n" * 1000,
            b"\n" * 100_000,
            b"{}",
            b"",
            b"\x80\x2e\x01\x03",
        ),
        bytes(rng.randrange(256) for _ in range(rng.randrange(2000))),
    )
    return _of("no HTTP", Step(rng.choice(data), end=rng.random() < 0.7), requests=_GET)


def _slow(rng: Random) -> HttpCase:
    """Bytes that arrive more slowly than the server waits."""
    whole = _head(_LENGTH) + _BODY
    start = rng.choice((0, 10, len(whole) - len(_BODY), len(whole) - 3))
    drip = [Step(whole[at : at + 1], pause=0.2) for at in range(start, min(start + 45, len(whole)))]
    return _of(f"slow from byte {start} on", whole[:start], *drip)


def _late_garbage(rng: Random) -> HttpCase:
    """The answer comes before the body, and then the body is wrong."""
    start = rng.choice((b"POST /unknown HTTP/1.1", b"PUT /v1/rerank HTTP/1.1", b"POST /health/live HTTP/1.1"))
    coded = _head(b"Transfer-Encoding: chunked", start=start)
    garbage = rng.choice((b"xyz\r\n", b"-1\r\n", b"\0" * 100, b"5\r\nabc", b"ffffffffffffffffffff\r\n"))
    return _of("garbage after the answer", Step(coded, pause=rng.choice((0.02, 0.1))), garbage, closed=True)


def _after_body(rng: Random) -> HttpCase:
    rest = rng.choice((b"\r\n", b"x", b"\0" * 1000, b"GET", b"{}", _LIVE[:20]))
    return _of("bytes after the body", Step(_head(_LENGTH) + _BODY + rest, end=rng.random() < 0.5), answers=False)


def _blank_lines(rng: Random) -> HttpCase:
    return _of("blank lines first", rng.choice((b"\r\n", b"\r\n\r\n", b"\n")) + _head(_LENGTH) + _BODY)


_CASES: tuple[tuple[int, Callable[[Random], HttpCase]], ...] = (
    *(
        (4, case)
        for case in (_expect, _old_version, _pipelined, _half_closed, _reset, _chunks, _lengths, _wrong_header)
    ),
    *((4, case) for case in (_target, _absolute, _late_garbage, _large_head)),
    *((2, case) for case in (_no_headers, _smuggled, _no_http, _after_body, _blank_lines)),
    (1, _slow),
)


def random_bytes(rng: Random) -> HttpCase:
    """Return bytes of one of the kinds above."""
    weights = [weight for weight, _ in _CASES]
    ((_, make),) = rng.choices(_CASES, weights)
    return make(rng)
