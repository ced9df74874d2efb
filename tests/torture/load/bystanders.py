"""Connections that take no part in the load: idle ones, and clients that send or read slowly."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from support.http2 import PREFACE, SETTINGS
from torture.server import Server

IDLE, SLOW = 1_000, 200
_PAUSE_SECONDS = 1.0
_DOCUMENT = "slow " * 40_000
_POST = "POST /v1/rerank HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n"
_SLOWLY_READ = json.dumps(
    {"query": "slow", "documents": [_DOCUMENT], "return_documents": True, "max_tokens_per_doc": 8}
).encode()

Behaviour = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass(slots=True)
class Bystanders:
    """Counts of the connections."""

    opened: int = 0
    """Connections opened so far. The server closes those that do nothing for too long; then a new one is opened."""


@asynccontextmanager
async def bystanders(server: Server, idle: int = IDLE, slow: int = SLOW) -> AsyncIterator[Bystanders]:
    """Keep connections to both ports while the block runs."""
    count = Bystanders()
    host, _, port = server.grpc.rpartition(":")
    rest, grpc = server.rest, (host, int(port))
    kinds: list[tuple[tuple[str, int], Behaviour]] = [
        *[(rest, _idle_http)] * (idle // 2),
        *[(grpc, _idle_http2)] * (idle - idle // 2),
        *[(rest, _slow_sender)] * (slow // 2),
        *[(rest, _slow_reader)] * (slow - slow // 2),
    ]
    tasks = [asyncio.create_task(_kept(address, behaviour, count)) for address, behaviour in kinds]
    try:
        yield count
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def _kept(address: tuple[str, int], behaviour: Behaviour, count: Bystanders) -> None:
    while True:
        with suppress(OSError, asyncio.IncompleteReadError):
            reader, writer = await asyncio.open_connection(*address, limit=1024)
            count.opened += 1
            try:
                await behaviour(reader, writer)
            finally:
                writer.transport.abort()
        await asyncio.sleep(_PAUSE_SECONDS)


async def _idle_http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"GET /health/live HTTP/1.1\r\nhost: a\r\n\r\n")
    await _until_closed(reader)


async def _idle_http2(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(PREFACE + SETTINGS)
    await _until_closed(reader)


async def _until_closed(reader: asyncio.StreamReader) -> None:
    while await reader.read(1024):
        pass


async def _slow_sender(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(_POST.format(100_000).encode())
    while not reader.at_eof():
        writer.write(b" ")
        await writer.drain()
        with suppress(TimeoutError):
            await asyncio.wait_for(reader.read(1024), _PAUSE_SECONDS)


async def _slow_reader(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(_POST.format(len(_SLOWLY_READ)).encode() + _SLOWLY_READ)
    while await reader.read(1024):
        await asyncio.sleep(_PAUSE_SECONDS)
