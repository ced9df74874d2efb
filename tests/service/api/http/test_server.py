"""The REST server: sockets, paths and addresses."""

import asyncio
import socket

import httpx
import pytest

from rerank_service.api.http.app import build_app
from rerank_service.api.http.server import listening
from rerank_service.settings import Settings
from support.limits import rest_options
from support.running import Served


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
    async with httpx.AsyncClient() as http:
        response = await http.post(f"http://{host}:{port}{path}", json={"query": "0", "documents": ["1"]})
    assert response.status_code == 200


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
