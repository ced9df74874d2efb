"""How the REST edge listens."""

import asyncio
import socket

from rerank_service.api.http.app import build_app
from rerank_service.api.http.server import listening
from support.running import Served


async def test_an_answer_does_not_wait_for_acknowledgements(edges: Served) -> None:
    """It is written in two parts, and without TCP_NODELAY the second would come 40 ms after the first."""
    async with listening(build_app(edges.routes), "127.0.0.1", 0) as edge:
        reader, writer = await asyncio.open_connection("127.0.0.1", edge.port)
        writer.write(b"GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        (connection,) = edge._server.server_state.connections
        accepted = connection.transport.get_extra_info("socket")
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        writer.close()
