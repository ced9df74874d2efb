"""One HTTP request: path, body, headers, and how it is framed. It is valid HTTP; its content may be anything."""

from dataclasses import replace
from random import Random

from torture.http_fuzz.bodies import full_body, plain_body
from torture.http_fuzz.case import HttpCase, Kind
from torture.http_fuzz.codings import coded
from torture.http_fuzz.paths import FuzzedPath, all_paths, quoted, ranking_paths
from torture.mutations import damaged, mutated
from torture.values import NUMBERS, TEXTS, dump
from torture.wire import Step

Header = tuple[str, bytes]
_METHODS = (
    "GET",
    "HEAD",
    "OPTIONS",
    "POST",
    "PUT",
    "PATCH",
    "DELETE",
    "TRACE",
    "PROPFIND",
    "get",
    "X" * 100,
    "X" * 20_000,
)
_TYPES = (
    *("application/json; charset=utf-8", "application/json; charset=utf-16", "application/json;;;", "text/plain", ""),
    *(
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/octet-stream",
        "*/*",
        "\xff",
    ),
)
_NAMES = (
    *("X-Request-Timeout", "X-Request-Id", "Accept", "Accept-Encoding", "X-Forwarded-For", "Forwarded", "traceparent"),
    *("Authorization", "X-Api-Key", "Origin", "If-None-Match", "Range", "Cookie", "Host", "X-Amz-Security-Token"),
    *("User-Agent", "Access-Control-Request-Method", "X-Http-Method-Override", "Via", "TE", "Connection", "Trailer"),
)
_VALUES = (
    *("gzip", "gzip, br", "*;q=0", "1", "0.001", "60", "close", "keep-alive", "Bearer x", "Basic eDp5", "Basic \xff"),
    *("for=1.2.3.4", "for=[::", "1.2.3.4, 5.6.7.8", "[::1]:80", "unknown", "00-" + "a" * 32 + "-" + "b" * 16 + "-01"),
    *("AWS4-HMAC-SHA256 x", '"x", W/"y", *', "bytes=0-1", "http://x", "null", "[::1", "a" * 4000, "x,x"),
    *("application/openmetrics-text; version=1.0.0", "text/html;q=\xff", ",,,", ";", "=", '"'),
)


def random_request(rng: Random) -> HttpCase:
    """Return a request to any path."""
    chosen = rng.random()
    if chosen < 0.1:
        return _plain(rng)
    if chosen < 0.2:
        return _to_any_path(rng)
    path = rng.choice(ranking_paths())
    body, kind, title = _body(rng, path)
    headers = _headers(rng)
    if rng.random() < 0.12:
        coding, body = coded(rng, body)
        headers.append(("Content-Encoding", coding.encode("latin-1")))
        title = f"{title}, coded as {coding[:20]}"
    kind = kind if len(headers) < 2 else "any"
    return _request(rng, "POST", path, body, headers, kind=kind, title=title)


def plain_case(rng: Random, path: FuzzedPath) -> HttpCase:
    """Return a request that the server must accept."""
    body = plain_body(rng, rng.choice(path.dialects))
    documents = max((len(part) for part in _lists(body)), default=1)
    target = path.path.replace("{model:path}", "default")
    case = _framed_by_length("POST", target, dump(body), [])
    return replace(case, title="a valid body", requests=(("POST", path.path),), kind="plain", documents=documents)


def _lists(content: object) -> list[list[object]]:
    match content:
        case dict():
            return [found for part in content.values() for found in _lists(part)]
        case list():
            return [content]
        case _:
            return []


def _plain(rng: Random) -> HttpCase:
    return plain_case(rng, rng.choice(ranking_paths()))


def _to_any_path(rng: Random) -> HttpCase:
    """Return a request with any method to any path, or to a path that does not exist."""
    path = rng.choice(all_paths())
    method = rng.choice((*_METHODS, *path.methods))
    body = b"" if rng.random() < 0.7 else rng.choice((b"x", b"{}", b"\0" * 100_000))
    case = _request(rng, method, path, body, _headers(rng), kind="any", title=f"{method[:20]} {path.path}")
    if rng.random() < 0.3:
        unknown = f"{path.path}/{quoted(rng.choice(TEXTS))}"
        return replace(case, steps=(replace(case.steps[0], data=_head(method, unknown, body, [])), *case.steps[1:]))
    return case


def _body(rng: Random, path: FuzzedPath) -> tuple[bytes, Kind, str]:
    dialect = rng.choice(path.dialects)
    chosen = rng.random()
    if chosen < 0.15:
        return dump(full_body(rng, dialect)), "object", "optional fields"
    if chosen < 0.8:
        return mutated(rng, full_body(rng, dialect)), "any", "changed values"
    return damaged(rng, dump(full_body(rng, dialect))), "any", "damaged text"


def _headers(rng: Random) -> list[Header]:
    headers: list[Header] = []
    if rng.random() < 0.8:
        headers.append(("Content-Type", b"application/json"))
    elif rng.random() < 0.5:
        headers.append(("Content-Type", rng.choice(_TYPES).encode("latin-1")))
    if rng.random() < 0.2:
        headers += [(rng.choice(_NAMES), _value(rng)) for _ in range(rng.choice((1, 1, 2, 3)))]
    return headers


def _value(rng: Random) -> bytes:
    """Return a value that a header may have: no line ends and no NUL, and no blanks around it."""
    chosen = rng.choice((rng.choice(_VALUES), rng.choice(NUMBERS)[:500], rng.choice(TEXTS)))
    value = chosen.encode("utf-8" if rng.random() < 0.5 else "latin-1", "replace")
    return bytes(byte for byte in value if byte >= 0x20 and byte != 0x7F).strip()


def _request(
    rng: Random, method: str, path: FuzzedPath, body: bytes, headers: list[Header], *, kind: Kind, title: str
) -> HttpCase:
    target = path.filled(rng)
    framed = rng.choice((_framed_by_length, _framed_by_length, _framed_by_length, _framed_by_chunks))
    case = (
        framed(method, target, body, headers)
        if framed is _framed_by_length
        else _framed_by_chunks(method, target, body, headers, rng)
    )
    if rng.random() < 0.05:
        case = replace(case, steps=tuple(_in_pieces(rng, case.steps)))
    return replace(case, title=title, requests=((method, path.path),), kind=kind)


def _head(method: str, target: str, body: bytes, headers: list[Header]) -> bytes:
    given = [] if any(name == "Host" for name, _ in headers) else [("Host", b"x")]
    lines = [name.encode() + b": " + value for name, value in (*given, *headers)]
    lines += [b"Content-Length: %d" % len(body)] if body else []
    return b"\r\n".join((f"{method} {target} HTTP/1.1".encode(), *lines, b"", b""))


def _framed_by_length(method: str, target: str, body: bytes, headers: list[Header]) -> HttpCase:
    steps = (Step(_head(method, target, body, headers)), *([Step(body)] if body else []))
    return HttpCase(title="", steps=steps, requests=())


def _framed_by_chunks(method: str, target: str, body: bytes, headers: list[Header], rng: Random) -> HttpCase:
    chunks = []
    while body:
        size = min(len(body), rng.choice((1, 5, 100, 65536, 1_000_000, 10_000_000)) if len(body) < 5000 else 1_000_000)
        extension = rng.choice((b"", b"", b";x=1", b';x="y"'))
        chunks.append(b"%x%s\r\n%s\r\n" % (size, extension, body[:size]))
        body = body[size:]
    end = rng.choice((b"0\r\n\r\n", b"0\r\n\r\n", b"0\r\nX-Checksum: 1\r\n\r\n", b"000\r\n\r\n"))
    head = _head(method, target, b"", [*headers, ("Transfer-Encoding", b"chunked")])
    return HttpCase(title="", steps=(Step(head), Step(b"".join(chunks) + end)), requests=())


def _in_pieces(rng: Random, steps: tuple[Step, ...]) -> list[Step]:
    """Return the bytes in up to 20 pieces, with short pauses."""
    data = b"".join(step.data * step.times for step in steps)
    cuts = sorted({rng.randrange(len(data) + 1) for _ in range(rng.randrange(1, 20))})
    pieces = [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]
    return [Step(piece, pause=0.002) for piece in pieces]
