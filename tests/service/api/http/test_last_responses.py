"""Responses of a server that drains, on connections that clients keep alive."""

import asyncio

import httpx

from rerank_service.api.http.app import build_app
from rerank_service.api.http.server import RestEdge, listening
from support.limits import rest_options
from support.running import Served

_LIVE = b"GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n"


async def test_each_response_of_a_draining_server_ends_its_connection(edges: Served) -> None:
    """The connection is kept until then. New connections are accepted: load balancers may still send requests."""
    async with listening(build_app(edges.routes), rest_options()) as edge:
        reader, writer = await asyncio.open_connection("127.0.0.1", edge.port)
        assert b"connection" not in (await _head(reader, writer)).lower()
        edge.drain()
        for _ in range(2):
            head = await _head(reader, writer)
            assert head.startswith(b"HTTP/1.1 200")
            assert head.lower().count(b"\r\nconnection: close\r\n") == 1
            assert await reader.read() == b"", "the server has closed the connection"
            writer.close()
            reader, writer = await asyncio.open_connection("127.0.0.1", edge.port)
        writer.close()


async def _head(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    """Send a request, and return the status line and the headers of its response. The body has been read."""
    writer.write(_LIVE)
    head = await reader.readuntil(b"\r\n\r\n")
    (length,) = (line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length"))
    await reader.readexactly(int(length.partition(b":")[2]))
    return head


async def test_kept_alive_client_connects_again_for_each_request(edges: Served) -> None:
    """Errors, rankings and refused bodies have the header, once."""
    async with listening(build_app(edges.routes), rest_options()) as edge, _client(edge) as http:
        assert await _connections(http) == ["", "", ""]
        edge.drain()
        assert await _connections(http) == ["close", "close", "close"]


def _client(edge: RestEdge) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=f"http://127.0.0.1:{edge.port}", timeout=60)


async def _connections(http: httpx.AsyncClient) -> list[str]:
    """Return the header `connection` of a ranking, an error and an unknown path."""
    ranked = await http.post("/v2/rerank", json={"query": "0", "documents": ["1"]}, timeout=60)
    refused = await http.post("/v2/rerank", json={"query": 0}, timeout=60)
    unknown = await http.get("/no/such/path", timeout=60)
    assert [each.status_code for each in (ranked, refused, unknown)] == [200, 400, 404]
    return [each.headers.get("connection", "") for each in (ranked, refused, unknown)]
