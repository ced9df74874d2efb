"""HTTP connections: lost ones are noticed, and proxies are those of the environment."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from rerank_service.tools.http_connection import connect
from support.http import listening

_THIS_MACHINE = "http://0.0.0.0"
"""Not a loopback address, but Linux connects it to this machine."""


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove the proxies of this machine."""
    for name in ("http_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


async def _hello(_: Request) -> PlainTextResponse:
    return PlainTextResponse("server")


@pytest.mark.skipif(not hasattr(socket, "TCP_KEEPIDLE"), reason="the system has other options")
async def test_a_server_whose_machine_is_gone_is_noticed() -> None:
    """After 50 s, as over gRPC. A call without a deadline would wait for ever."""
    async with listening(Route("/", _hello)) as url, connect(url, None) as http, http.stream("GET", "/") as response:
        connection = response.extensions["network_stream"].get_extra_info("socket")
        assert connection.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        idle, interval, probes = (
            connection.getsockopt(socket.IPPROTO_TCP, option)
            for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
        )
        assert idle + interval * probes == 50


@pytest.fixture
async def proxy() -> AsyncIterator[str]:
    """Return the address of a proxy, which answers each request itself."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        text = b"proxy of " + head.split()[1]
        writer.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: %d\r\n\r\n%s" % (len(text), text))
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"


@pytest.mark.parametrize("variable", ["http_proxy", "ALL_PROXY"])
@pytest.mark.parametrize("scheme", ["", "http://"])
async def test_the_proxy_of_the_environment_is_used(
    monkeypatch: pytest.MonkeyPatch, proxy: str, variable: str, scheme: str
) -> None:
    """Also without a scheme."""
    monkeypatch.setenv(variable, f"{scheme}{proxy}")
    async with connect("http://rerank.example", None) as http:
        assert (await http.get("/")).text == "proxy of http://rerank.example/"


async def test_hosts_of_no_proxy_and_loopback_addresses_have_none(monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    """Without the variable `no_proxy`, the other addresses of this machine have one."""
    monkeypatch.setenv("http_proxy", f"http://{proxy}")
    async with listening(Route("/", _hello)) as url:
        own = url.replace("http://127.0.0.1", _THIS_MACHINE)
        for address, skipped, answer in (
            (own, "", f"proxy of {own}/"),
            (own, "a.example,0.0.0.0", "server"),
            (url, "", "server"),
        ):
            monkeypatch.setenv("no_proxy", skipped)
            async with connect(address, None) as http:
                assert (await http.get("/")).text == answer


@pytest.mark.parametrize(
    ("url", "skipped", "has_proxy"),
    [
        ("http://rerank.example:8080", "rerank.example:8080", False),
        ("http://a.rerank.example:8080", "rerank.example:8080", False),
        ("http://rerank.example:8080", "rerank.example:8081", True),
        ("http://rerank.example:8080", "rerank.example", False),
        ("http://[2001:db8::1]:8080", "2001:db8::1", False),
        ("http://[2001:db8::1]:8080", "[2001:db8::1]:8080", False),
        ("http://[2001:db8::1]:8080", "[2001:db8::1]:8081", True),
        ("http://rerank.example", "a.example, *", False),
        ("http://rerank.example", "a.example,*.example", True),
    ],
)
async def test_entries_of_no_proxy(monkeypatch: pytest.MonkeyPatch, url: str, skipped: str, has_proxy: bool) -> None:
    """An entry may have a port, and `*` may be one of several."""
    monkeypatch.setenv("http_proxy", "http://proxy.example")
    monkeypatch.setenv("no_proxy", skipped)
    made: list[object] = []

    def transport(**options: Any) -> httpx.AsyncBaseTransport:
        made.append(options["proxy"])
        return httpx.MockTransport(lambda _: httpx.Response(200))

    monkeypatch.setattr(httpx, "AsyncHTTPTransport", transport)
    async with connect(url, None):
        assert made == ["http://proxy.example" if has_proxy else None]


@pytest.mark.parametrize(("scheme", "reads"), [("http", 0), ("https", 1)])
async def test_authorities_are_read_for_tls_only(monkeypatch: pytest.MonkeyPatch, scheme: str, reads: int) -> None:
    """Reading takes 40 ms, which each command would pay."""
    read: list[object] = []
    monkeypatch.setattr(ssl.SSLContext, "load_verify_locations", lambda _, *files, **named: read.append(files or named))
    async with connect(f"{scheme}://rerank.example", None):
        assert len(read) == reads
