"""Size of the target and the headers of a request."""

import asyncio
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
        (b"", b"a: b\r\n" * 7_000, True),
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
