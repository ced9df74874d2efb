"""A REST connection that has ended is freed at once: thousands that wait for a full collection make it slow."""

import asyncio
import socket
import ssl
from pathlib import Path

import pytest
import trustme

from rerank_service.api.http.app import build_app
from rerank_service.api.http.options import ConnectionLimits
from rerank_service.api.http.server import listening
from support.garbage import kept_garbage
from support.limits import rest_options
from support.running import Running, Served
from support.tls import tls_served, write_pems

_CONNECTIONS = 3
_OBJECTS = {
    "_SelectorSocketTransport",
    "_Connection",
    "LimitedConnection",
    "RequestResponseCycle",
    "SSLProtocol",
    "_SSLProtocolTransport",
}
"""Types of a connection's objects. The client of these tests is a thread with a plain socket, which makes none."""
_REQUEST = b"GET /health/live HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
_BROKEN = b"no HTTP\r\n\r\n"


def _received(port: int, sent: bytes, context: ssl.SSLContext | None = None) -> bytes:
    """Send bytes, and read until the server has closed the connection."""
    client = socket.create_connection(("127.0.0.1", port))
    with context.wrap_socket(client, server_hostname="localhost") if context else client as connection:
        connection.sendall(sent)
        return b"".join(iter(lambda: connection.recv(4096), b""))


async def _kept(port: int, sent: bytes, context: ssl.SSLContext | None = None) -> set[str]:
    """Return the types of the objects of closed connections that only a collection frees."""
    await asyncio.to_thread(_received, port, sent, context)
    with kept_garbage() as garbage:
        for _ in range(_CONNECTIONS):
            await asyncio.to_thread(_received, port, sent, context)
        for _ in range(_CONNECTIONS):  # TLS tells its protocol in a later turn that the connection is lost
            await asyncio.sleep(0)
    return {type(each).__name__ for each in garbage} & _OBJECTS


@pytest.mark.parametrize("sent", [_REQUEST, _BROKEN, b""], ids=["request", "no HTTP", "nothing until the time limit"])
async def test_closed_connection_is_freed(edges: Served, sent: bytes) -> None:
    """Whatever ended it."""
    options = rest_options(connections=ConnectionLimits(100, 0.1, 1000.0))
    async with listening(build_app(edges.routes), options) as edge:
        assert not await _kept(edge.port, sent)


async def test_closed_connection_with_tls_is_freed(core: Running, tmp_path: Path) -> None:
    """With the transport of TLS, and that of the socket below it."""
    authority = trustme.CA()
    context = ssl.create_default_context()
    authority.configure_trust(context)
    async with tls_served(core, write_pems(tmp_path, authority).files()) as served:
        assert not await _kept(served.rest_port, _REQUEST, context)
