"""Paths, names, ids and headers that a caller chooses: none reaches a file, a header, or a second line of the log."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import grpc
import pytest

import rerank_service
from rerank.client import AsyncRerankClient
from rerank_service.api.http.playground.routes import Playground
from rerank_service.observability.request_record import RequestRecord
from support.http import post, works
from support.http2 import START, frames, headers, message
from support.observed import Recorder, observed
from support.running import Running, Served

Parts = tuple[Served, Recorder]
SECRET = Path(rerank_service.__file__).read_text()
"""Content of a file beside those that are served."""
UP = [
    *("../../../../../../etc/passwd", "..%2f..%2f..%2f..%2fetc%2fpasswd", "%2e%2e/%2e%2e/%2e%2e/etc/passwd"),
    *("..\\..\\etc\\passwd", "....//....//etc/passwd", "%252e%252e%252fetc%252fpasswd", "/etc/passwd", "~/.ssh/id_rsa"),
    *("file:///etc/passwd", "%c0%ae%c0%ae/etc/passwd", "a%00../../etc/passwd", "..;/etc/passwd", "%5c%5chost%5cshare"),
]
"""Paths out of a folder, in the forms that programs have fallen for."""
_CONTROLS = ["a\r\nx-evil: 1", "a\nb", "a\0b", "\x1b[2J", "\u202e\u2028", "\ud800"]
NAMES = [*UP, *_CONTROLS, "a" * 50_000, "${jndi:ldap://x}", "%s%n"]


@pytest.fixture
async def parts(core: Running) -> AsyncIterator[Parts]:
    """Yield the servers with the playground, and the recorder of their requests."""
    async with observed(core, playground=Playground(grpc_port=1)) as both:
        yield both


async def _raw(edges: Served, content: bytes) -> bytes:
    """Send bytes over REST, and return all that comes back until the end of the connection."""
    port = edges.http.base_url.port
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(content)
    answer = b""
    with suppress(ConnectionError):
        answer = await reader.read()
    writer.close()
    return answer


def _head(answer: bytes) -> list[str]:
    """Return the names of the headers of a response."""
    return [line.partition(b":")[0].decode() for line in answer.partition(b"\r\n\r\n")[0].split(b"\r\n")[1:]]


async def test_no_path_reaches_a_file(parts: Parts) -> None:
    """Neither below the folders with files, nor as the name of a model."""
    edges, _ = parts
    bases = (
        "/static-offline-docs/",
        "/playground/",
        "/v1/models/",
        "/v2/models/",
        "/inference/",
        "/model/",
        "/docs/",
        "/",
    )
    for base in bases:
        for path in UP:
            for method in (b"GET", b"POST"):
                target = (base + path).encode()
                answer = await _raw(edges, b"%s %s HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n" % (method, target))
                status = answer.split(b" ", 2)[1]
                assert status in (b"404", b"405", b"400"), (method, target, answer[:200])
                assert b"root:" not in answer
                assert SECRET[:40].encode() not in answer
    assert await works(edges)


async def test_model_names_are_names_only(parts: Parts) -> None:
    """In the body, in the path and over gRPC. The error quotes the beginning, and its headers do not."""
    edges, recorder = parts
    for name in NAMES:
        body = {"query": "0", "documents": ["1"], "model": name}
        response = await edges.http.post("/v2/rerank", content=json.dumps(body).encode())
        assert response.status_code == 404
        assert len(response.content) < 2000
        assert "x-evil" not in response.headers
        response = await edges.http.get("/v1/models/" + quote(name.encode(errors="replace"), safe=""))
        assert response.status_code == 404
        assert "x-evil" not in response.headers
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await edges.client.rerank("0", ["1"], model=name.encode(errors="replace").decode())
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND
        assert len(caught.value.details() or "") < 600
        sent = {key for key, _ in (*caught.value.initial_metadata(), *caught.value.trailing_metadata())}
        assert sent <= {"x-request-id", "grpc-status-details-bin", "grpc-accept-encoding", "accept-encoding"}
        for _ in range(3):
            _check_bounded(await recorder.next())


def _check_bounded(record: RequestRecord) -> None:
    """Check that what a caller chooses has a bounded length in log and traces."""
    texts = (record.method, record.call, record.asked_model, record.client, record.id)
    assert max(map(len, texts)) <= 128, record
    assert record.failure is None or len(record.failure.message) < 2000


INVALID_IDS = (
    *(b"a\rb", b"a\0b", b"a\x1b[2J", b"\xff\xfe", "ü\u2028".encode(), b"a b", b"a" * 129, b"a\r\n b", b"a\tb", b"\x7f"),
)


async def test_invalid_request_id_is_in_no_header(parts: Parts) -> None:
    """The server makes a new one, or refuses the request."""
    edges, recorder = parts
    request = b"GET /v1/models HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx-request-id: %s\r\n\r\n"
    for sent in INVALID_IDS:
        answer = await _raw(edges, request % sent)
        if not answer.startswith(b"HTTP/1.1 400"):
            assert answer.startswith(b"HTTP/1.1 200")
            record = await recorder.next()
            assert len(record.id) == 32
            assert record.id.isalnum()
            assert b"x-request-id: " + record.id.encode() in answer.lower()
        assert sent not in answer.partition(b"\r\n\r\n")[0]


READ = (
    *("user-agent", "x-forwarded-for", "forwarded", "traceparent", "tracestate", "baggage", "accept", "origin", "host"),
    *("x-request-timeout", "content-type", "accept-encoding", "if-none-match", "x-amzn-trace-id", "referer"),
)
"""Headers that the server or a library reads, and a few others."""


async def test_no_header_of_a_request_is_in_the_response(parts: Parts) -> None:
    """With all kinds of bytes in each of them. The responses have the same headers as ever."""
    edges, recorder = parts
    usual = set(_head(await _raw(edges, b"GET /v1/models HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")))
    await recorder.next()
    for name in READ:
        for value in (b"evil\x1b[2J\x9b", b"evil\xff", b"evil: 1; evil=2, evil", b"evil" * 10_000):
            host = b"" if name == "host" else b"host: x\r\n"
            head = b"GET /v1/models HTTP/1.1\r\n%sconnection: close\r\n%s: %s\r\n\r\n" % (host, name.encode(), value)
            answer = await _raw(edges, head)
            assert answer.startswith(b"HTTP/1.1 200"), (name, answer[:300])
            assert set(_head(answer)) <= usual | {"vary", "content-encoding"}
            assert b"evil" not in answer
            _check_bounded(await recorder.next())


async def test_misspelled_fields_are_escaped_in_the_header(parts: Parts) -> None:
    """The only header that has a text of the body: names of fields, in ASCII and without line breaks."""
    edges, _ = parts
    warnings = []
    for name in ("top\r\nn", "top_n\0", "töp_n", "top_n\u2028", "top\x1b_n"):
        response = await post(edges, {"query": "0", "documents": ["1"], name: 1})
        assert response.status_code == 200
        warnings.append(response.headers.get("x-rerank-warnings", ""))
    assert any(warnings)
    assert all(warning.isascii() and warning.isprintable() for warning in warnings)


async def test_long_methods_are_cut(parts: Parts) -> None:
    """A method may have any letters. Log lines and the message have its beginning."""
    edges, recorder = parts
    answer = await _raw(edges, b"A" * 60_000 + b" /v1/rerank HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 405")
    assert len(answer) < 2000
    _check_bounded(await recorder.next())


async def test_client_address_is_an_address(core: Running) -> None:
    """Python accepts any text as the zone of an IPv6 address."""
    head = b"GET /v1/models HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx-forwarded-for: %s\r\n\r\n"
    async with observed(core, proxies=("*",)) as (edges, recorder):
        for sent in (b"fe80::1%\x1b[2J", b"fe80::1%" + b"a" * 60_000, b"\x9b31m", b"127.0.0.1\x0b", b"1.2.3.4 " * 5000):
            answer = await _raw(edges, head % sent)
            if not answer.startswith(b"HTTP/1.1 400"):
                assert (await recorder.next()).client == "127.0.0.1"


ODD_METADATA = [
    *(("x-request-id", value) for value in (b"a\r\nb", b"a\0b", b"\x1b[2J", b"\xff", b"a b", b"")),
    *(("authorization", value) for value in (b"Bearer J\xe4ne", b"Bearer Jane\r\nx: y")),
    *(("user-agent", value) for value in (b"a\r\nb", b"\x1b[2J", b"\xff\xfe")),
    *(("x-forwarded-for", value) for value in (b"fe80::1%\x1b[2J", b"\xff")),
    *(("traceparent", value) for value in (b"00-\r\n-01", b"\xff")),
    ("jane-bin", b"not base64 \xff"),
    ("x\r\ny", b"1"),
    ("X-UPPER", b"1"),
    ("grpc-timeout", b"\xff"),
    ("content-type", b"application/grpc\r\nx: 1"),
]


async def test_metadata_that_no_library_sends(parts: Parts, caplog: pytest.LogCaptureFixture) -> None:
    """Frames of HTTP/2 can have any bytes in a header. gRPC refuses the call, or it is answered with a new id. gRPC for
    Python would log each value that is not UTF-8."""
    edges, _ = parts
    for name, value in ODD_METADATA:
        received = await _answer(edges.grpc.port, headers(1, "/rerank.v1.Rerank/Rerank", more={name: value}))
        assert len(value) < 3 or value not in received, name
    assert [record.getMessage() for record in caplog.records] == []
    async with AsyncRerankClient(edges.address, retries=0) as client:
        await client.rerank("0", ["1"])


async def _answer(port: int, head: bytes) -> bytes:
    """Make a call with raw headers and an empty message, and return what comes back until it ends."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(START + head + message(1, b""))
    received = b""
    with suppress(ConnectionError):
        while not _has_answer(received) and (part := await reader.read(65536)):
            received += part
    writer.close()
    return received


def _has_answer(received: bytes) -> bool:
    """Return whether a call has ended: by the end of its stream, or by RST_STREAM or GOAWAY."""
    with suppress(IndexError):
        return any(kind in (3, 7) or (kind == 1 and stream == 1) for kind, stream, _ in frames(received))
    return False


async def test_pipelined_header_injection_is_one_request(parts: Parts) -> None:
    """A line break in the target or in a name of a header makes the request invalid, and no second one."""
    edges, _ = parts
    for head in (b"GET /v1/models\r\nx: 1 HTTP/1.1", b"GET /v1/models\x0bx HTTP/1.1", b"GET /v1/\xff HTTP/1.1"):
        answer = await _raw(edges, head + b"\r\nhost: x\r\nconnection: close\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 400")
        assert answer.count(b"HTTP/1.1 ") == 1
    assert await works(edges)


def test_names_have_all_kinds() -> None:
    """Of the path, of a header, of a terminal and of a log."""
    wanted: list[Any] = ["..", "%2e", "\\", "\0", "\r\n", "\x1b", "\ud800"]
    assert all(any(part in name for name in NAMES) for part in wanted)
