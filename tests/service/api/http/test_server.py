"""The REST server: sockets, paths and addresses."""

import asyncio
import re
import socket
import ssl
from pathlib import Path

import httpx
import pytest
import trustme

from rerank_service.api.http import limited_server, silent_clients
from rerank_service.api.http.app import build_app
from rerank_service.api.http.server import listening
from rerank_service.api.request_observation import Observing
from rerank_service.api.tls.store import CertificateStore
from rerank_service.settings import Settings
from support.limits import rest_options
from support.observed import Recorder
from support.running import Served
from support.tls import write_pems


async def test_response_does_not_wait_for_acknowledgements(edges: Served) -> None:
    """A response has two parts. Without TCP_NODELAY, the second would arrive 40 ms after the first."""
    async with listening(build_app(edges.routes), rest_options()) as edge:
        reader, writer = await asyncio.open_connection("127.0.0.1", edge.port)
        writer.write(b"GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        (connection,) = edge._server.server_state.connections
        accepted = connection.transport.get_extra_info("socket")
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        writer.close()


@pytest.mark.parametrize("path", ["//v1/rerank", "/v1/rerank/", "/v1//rerank"])
async def test_path_may_have_additional_slashes(edges: Served, path: str) -> None:
    """A redirect would lose the body or the scheme."""
    host, port = edges.http.base_url.host, edges.http.base_url.port
    async with httpx.AsyncClient(timeout=60) as http:
        response = await http.post(f"http://{host}:{port}{path}", json={"query": "0", "documents": ["1"]})
    assert response.status_code == 200


_BODY = b'{"query": "0", "documents": ["1"]}'


async def _answers(edges: Served, sent: bytes) -> list[bytes]:
    """Send bytes, and return the status lines of all responses when the server has closed the connection."""
    async with listening(build_app(edges.routes), rest_options(idle_timeout=0.01)) as edge:
        reader, writer = await asyncio.open_connection("127.0.0.1", edge.port)
        writer.write(sent)
        received = await reader.read()
        writer.close()
    return re.findall(rb"HTTP/1\.1 \d+ [A-Za-z ]+", received)


@pytest.mark.parametrize("target", ["http://x/v2/rerank", "HTTPS://x:8080/v2/rerank?a=b", "http://x//v2/rerank/"])
async def test_target_may_be_absolute(edges: Served, target: str) -> None:
    """Clients behind a proxy send it, and every server must accept it (RFC 9112, 3.2.2)."""
    head = f"POST {target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {len(_BODY)}\r\n\r\n"
    assert await _answers(edges, head.encode() + _BODY) == [b"HTTP/1.1 200 OK"]


async def test_request_with_two_lengths_is_the_last_one_of_its_connection(edges: Served) -> None:
    """A proxy that reads the other length would take the second request for its own: request smuggling."""
    lengths = b"content-length: 100\r\ntransfer-encoding: chunked\r\n"
    smuggled = b"GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n"
    sent = b"POST /v2/rerank HTTP/1.1\r\nhost: x\r\n" + lengths + b"\r\n0\r\n\r\n" + smuggled
    assert await _answers(edges, sent) == [b"HTTP/1.1 400 Bad Request"]


@pytest.mark.parametrize("host", [b"[", b"[::1", b"a b", b"x/y?z#", b"x:99999999", b"\xff", b""])
async def test_host_may_be_anything(edges: Served, host: bytes) -> None:
    """It has no influence on the path, which a URL made from it would have."""
    head = b"POST /v2/rerank HTTP/1.1\r\nhost: %s\r\ncontent-length: %d\r\n\r\n" % (host, len(_BODY))
    unknown = b"GET /no/such/path HTTP/1.1\r\nhost: %s\r\nconnection: close\r\n\r\n" % host
    assert await _answers(edges, head + _BODY + unknown) == [b"HTTP/1.1 200 OK", b"HTTP/1.1 404 Not Found"]


async def test_error_does_not_repeat_a_long_method(edges: Served) -> None:
    """Nor does the log, which has the message."""
    response = await edges.http.request("X" * 20_000, "/v2/rerank")
    assert response.status_code == 405
    assert len(response.content) < 2000


async def test_idle_connection_is_closed_after_the_timeout(edges: Served) -> None:
    """By the server, after it has answered."""
    async with listening(build_app(edges.routes), rest_options(idle_timeout=0.01)) as edge:
        reader, writer = await asyncio.open_connection("127.0.0.1", edge.port)
        writer.write(b"GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n")
        assert (await reader.read()).startswith(b"HTTP/1.1 200")
        writer.close()


def test_idle_timeout_exceeds_that_of_usual_load_balancers() -> None:
    """60 s for AWS's load balancers and nginx. The server must not be the first to close a connection."""
    assert Settings.model_construct().rest_idle_timeout > 60.0


async def test_the_end_waits_for_no_timer(edges: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """An idle connection is closed, and the server ends. With uvicorn's own loop that takes 0.1 to 0.2 s."""
    monkeypatch.setattr(limited_server, "_TICK_SECONDS", 3600.0)
    monkeypatch.setattr(limited_server, "_POLL_SECONDS", 3600.0)
    async with listening(build_app(edges.routes), rest_options()) as edge:
        reader, writer = await asyncio.open_connection("127.0.0.1", edge.port)
        writer.write(b"GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        await edge.stop(10.0)
        assert b"200" not in await reader.read()
        writer.close()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", edge.port)


async def test_idle_connection_with_tls_does_not_hold_up_the_end(
    edges: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A blocking client never answers the end of TLS. asyncio would wait 30 s for it."""
    monkeypatch.setattr(silent_clients, "_ANSWER_SECONDS", 0.0)
    pems = write_pems(tmp_path, trustme.CA())
    async with listening(build_app(edges.routes), rest_options(tls=CertificateStore(pems.files()))) as edge:
        trusted = ssl.create_default_context(cafile=pems.ca)
        with socket.create_connection(("127.0.0.1", edge.port)) as plain:
            client = await asyncio.to_thread(trusted.wrap_socket, plain, server_hostname="localhost")
            client.sendall(b"GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n")
            assert (await asyncio.to_thread(client.recv, 4096)).startswith(b"HTTP/1.1 200")
            async with asyncio.timeout(10):
                await edge.stop(600.0)
            client.close()


async def test_second_stop_waits_for_no_client(edges: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """From Python 3.12.1 on, `wait_closed` of a listener waits for each connection."""

    async def never(_server: asyncio.Server) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(asyncio.Server, "wait_closed", never)
    async with listening(build_app(edges.routes), rest_options()) as edge:
        _, writer = await asyncio.open_connection("127.0.0.1", edge.port)
        writer.write(b"POST /v2/rerank HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{")
        await writer.drain()
        async with asyncio.timeout(10), httpx.AsyncClient(timeout=60) as http:
            await http.get(f"{edge.urls[0]}/health/live")
            first = asyncio.create_task(edge.stop(600.0))
            await asyncio.sleep(0.05)  # it polls
            assert not first.done()
            await edge.stop(0.0)
            await first
        writer.close()


async def test_request_at_the_end_of_the_grace_period_gets_503(edges: Served, caplog: pytest.LogCaptureFixture) -> None:
    """In the form of its dialect, so that its client sends it to another replica."""
    recorder = Recorder()
    async with listening(build_app(edges.routes), rest_options(), Observing(observer=recorder)) as edge:
        edges.core.score.hold()
        async with httpx.AsyncClient(base_url=edge.urls[0], timeout=60) as http:
            request = asyncio.create_task(http.post("/v2/rerank", json={"query": "0", "documents": ["1"]}))
            await edges.core.score.started()
            await edge.stop(0.0)
            response = await request
        edges.core.score.release()
    assert (response.status_code, response.headers["retry-after"]) == (503, "1")
    assert response.json()["error"]["code"] == "not_ready"
    record = await recorder.next()
    assert record.status == 503
    assert record.failure is not None
    assert record.failure.kind == "not_ready"
    assert "Traceback" not in caplog.text


async def test_the_header_date_is_renewed(edges: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """At each tick."""
    monkeypatch.setattr(limited_server, "_TICK_SECONDS", 0.0)
    clock = iter(range(10**9, 2 * 10**9, 60))
    monkeypatch.setattr("uvicorn.server.time.time", lambda: next(clock))
    async with listening(build_app(edges.routes), rest_options()) as edge, httpx.AsyncClient(timeout=60) as http:
        dates = {(await http.get(f"{edge.urls[0]}/health/live")).headers["date"] for _ in range(3)}
    assert len(dates) == 3
