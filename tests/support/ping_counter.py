"""TCP proxy that counts the HTTP/2 pings of a client and of a server (RFC 9113, section 6.7)."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

_PREFACE = len(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
_HEADER = 9
_PING, _ACK = 6, 1


class PingCounter:
    """The running proxy."""

    def __init__(self, upstream: int) -> None:
        self._upstream = upstream
        self.port = 0
        self.connections = 0
        self.client_pings: asyncio.Queue[bool] = asyncio.Queue()
        """True for each ping of a client; False if the connection ends."""
        self.server_pings: asyncio.Queue[bool] = asyncio.Queue()
        """True for each ping of the server; False if the connection ends."""

    async def connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Forward one connection in both directions until one side closes it."""
        self.connections += 1
        server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self._upstream)
        try:
            server_writer.write(await reader.readexactly(_PREFACE))
            async with asyncio.TaskGroup() as both:
                both.create_task(_forward(reader, server_writer, self.client_pings))
                both.create_task(_forward(server_reader, writer, self.server_pings))
        except* (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            for end in (writer, server_writer):
                end.close()
            for pings in (self.client_pings, self.server_pings):
                pings.put_nowait(False)


async def _forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, pings: asyncio.Queue[bool]) -> None:
    """Forward frames. A ping counts after it was written."""
    while True:
        header = await reader.readexactly(_HEADER)
        payload = await reader.readexactly(int.from_bytes(header[:3], "big"))
        writer.write(header + payload)
        await writer.drain()
        if header[3] == _PING and not header[4] & _ACK:
            pings.put_nowait(True)


@asynccontextmanager
async def ping_counter(port: int) -> AsyncIterator[PingCounter]:
    """Run a proxy to a port of this machine during the block."""
    counter = PingCounter(port)
    server = await asyncio.start_server(counter.connect, "127.0.0.1", 0)
    counter.port = server.sockets[0].getsockname()[1]
    try:
        yield counter
    finally:
        server.close()
