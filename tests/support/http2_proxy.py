"""TCP proxy that counts the bytes and the pings of HTTP/2 connections (RFC 9113, section 6.7)."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

_PREFACE = len(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
_HEADER = 9
_PING, _ACK = 6, 1


class Sent:
    """Frames that one side has sent."""

    def __init__(self) -> None:
        self.bytes = 0
        """Payload of all frames."""
        self.pings: asyncio.Queue[bool] = asyncio.Queue()
        """True for each ping; False if the connection ends."""

    async def forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Forward frames until the reader ends."""
        while True:
            header = await reader.readexactly(_HEADER)
            payload = await reader.readexactly(int.from_bytes(header[:3], "big"))
            self.bytes += len(payload)
            writer.write(header + payload)
            await writer.drain()
            if header[3] == _PING and not header[4] & _ACK:
                self.pings.put_nowait(True)


class Http2Proxy:
    """The running proxy."""

    def __init__(self, upstream: int) -> None:
        self._upstream = upstream
        self.port = 0
        self.connections = 0
        self.client = Sent()
        self.server = Sent()

    async def connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Forward one connection in both directions until one side closes it."""
        self.connections += 1
        server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self._upstream)
        try:
            server_writer.write(await reader.readexactly(_PREFACE))
            async with asyncio.TaskGroup() as both:
                both.create_task(self.client.forward(reader, server_writer))
                both.create_task(self.server.forward(server_reader, writer))
        except* (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            for end in (writer, server_writer):
                end.close()
            for side in (self.client, self.server):
                side.pings.put_nowait(False)


@asynccontextmanager
async def http2_proxy(port: int) -> AsyncIterator[Http2Proxy]:
    """Run a proxy to a port of this machine during the block."""
    proxy = Http2Proxy(port)
    server = await asyncio.start_server(proxy.connect, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
