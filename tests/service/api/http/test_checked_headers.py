"""Size of the target and the headers of a request, and the end of its body."""

import asyncio
import itertools
from contextlib import suppress

import pytest

from support.http import works
from support.running import Served

_HEAD = b"GET /v1/models%s HTTP/1.1\r\nhost: x\r\nconnection: close\r\n%s\r\n"


async def _status(edges: Served, *parts: bytes) -> bytes:
    """Send a request in parts, and return the status of the response."""
    reader, writer = await asyncio.open_connection("127.0.0.1", edges.http.base_url.port)
    with suppress(ConnectionError):
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0)
        line = await reader.readline()
    writer.close()
    return line.split(b" ")[1]


@pytest.mark.parametrize(
    ("target", "headers", "accepted"),
    [
        (b"", b"a: " + b"b" * 60_000 + b"\r\n", True),
        (b"", b"a: " + b"b" * 300 + b"\r\n" + b"a: b\r\n" * 190, True),
        (b"", b"a: " + b"b" * 66_000 + b"\r\n", False),
        (b"", b"a: b\r\n" * 11_000, False),
        (b"?" + b"a" * 66_000, b"", False),
        (b"/" + b"a" * 66_000, b"", False),
    ],
    ids=["large", "many", "too large", "too many", "query", "path"],
)
async def test_headers_have_a_maximum(edges: Served, target: bytes, headers: bytes, accepted: bool) -> None:
    """64 KiB, in one piece or in parts. If h11 sees that the end is missing, the status is 400."""
    request = _HEAD % (target, headers)
    middle = len(request) - 10
    for parts in ([request], [request[:30_000], request[30_000:middle], request[middle:]]):
        assert await _status(edges, *parts) in ((b"200",) if accepted else (b"431", b"400"))
    assert await works(edges)


async def test_error_has_the_form_of_all_errors(edges: Served) -> None:
    """It says what to do."""
    response = await edges.http.get("/v1/models", headers={"a": "b" * 66_000})
    assert response.status_code == 431
    assert response.json()["message"] == (
        "The path and the headers have more than 65,536 bytes: send fewer or shorter ones."
    )
    assert response.json()["error"]["type"] == "request_too_large"
    assert response.json()["error"]["code"] == "headers_too_large"


_SECOND = b"GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n"


AMBIGUOUS = (
    b"content-length: 4\r\ntransfer-encoding: chunked\r\n",
    b"transfer-encoding: chunked\r\ncontent-length: 4\r\n",
    b"content-length: 4\r\ncontent-length: 5\r\n",
    b"content-length: 4, 5\r\n",
    b"transfer-encoding: xchunked\r\n",
    b"transfer-encoding: chunked, identity\r\n",
    b"transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n",
    b"transfer-encoding : chunked\r\n",
    b"transfer-encoding:\x0bchunked\r\n",
    b"content-length: +4\r\n",
    b"content-length: 0x4\r\n",
    b"content-length: 4\r\n 5\r\n",
)
"""Headers after which a proxy and a server may not agree where the body ends."""


async def test_no_second_request_is_hidden_in_a_first_one(edges: Served) -> None:
    """If the end of a body is ambiguous, the rest of the connection is not read."""
    for version, headers in itertools.product((b"1.1", b"1.0"), AMBIGUOUS):
        head = b"POST /v1/rerank HTTP/%s\r\nhost: x\r\nconnection: keep-alive\r\n" % version
        reader, writer = await asyncio.open_connection("127.0.0.1", edges.http.base_url.port)
        writer.write(head + headers + b"\r\n0\r\n\r\n" + _SECOND)
        answer = b""
        with suppress(ConnectionError):
            answer = await reader.read()
        writer.close()
        assert answer.count(b"HTTP/1.1 ") == 1, headers
        assert answer.startswith((b"HTTP/1.1 400", b"HTTP/1.1 501")), headers
