"""Attacks of strangers on a started server, and their costs for the server's process."""

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass

from support.process_usage import Usage, usage

_SETTLE_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Target:
    """A server that requires keys."""

    pid: int
    rest: int
    """Port of REST."""
    grpc: int
    """Port of gRPC."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attack:
    """Something that a client without a key can do many times."""

    title: str
    unit: str
    """One time of it, such as `connection`."""
    count: int
    run: "Callable[[Target, int, ExitStack], Awaitable[str]]"
    """Do it so many times, and return how the server ended it. The stack holds connections until the costs are read."""
    tls: bool = False
    """True if the server has TLS."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Costs of one unit."""

    attack: Attack
    kib: float
    cpu_ms: float
    descriptors: float
    threads: int
    """More threads after all units."""
    ended: str
    kept_kib: float
    """Memory of a unit that is still used after the end of all connections."""


async def cost_of(attack: Attack, target: Target) -> Cost:
    """Run an attack, and return what one unit of it costs."""
    before = usage(target.pid)
    with ExitStack() as held:
        ended = await attack.run(target, attack.count, held)
        during = await _settled(target.pid)
    after = await _settled(target.pid)
    count = attack.count
    return Cost(
        attack=attack,
        kib=(during.kib - before.kib) / count,
        cpu_ms=(during.cpu - before.cpu) * 1000 / count,
        descriptors=(during.descriptors - before.descriptors) / count,
        threads=during.threads - before.threads,
        ended=ended,
        kept_kib=(after.kib - before.kib) / count,
    )


async def _settled(pid: int) -> Usage:
    """Return the resources when the process has been idle for a while."""
    found = usage(pid)
    while True:
        await asyncio.sleep(_SETTLE_SECONDS)
        found, earlier = usage(pid), found
        if found.cpu - earlier.cpu < 0.05 * _SETTLE_SECONDS:
            return found


def connected(port: int, held: ExitStack, *, receive_bytes: int | None = None) -> socket.socket:
    """Open a connection, which the stack closes."""
    client = held.enter_context(socket.socket())
    if receive_bytes:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    client.connect(("127.0.0.1", port))
    client.setblocking(False)
    return client


async def send(client: socket.socket, content: bytes, seconds: float = 30.0) -> bool:
    """Send bytes. Return False if the server has closed the connection, or reads no more."""
    with suppress(ConnectionError, TimeoutError):
        async with asyncio.timeout(seconds):
            await asyncio.get_running_loop().sock_sendall(client, content)
            return True
    return False


async def received(client: socket.socket, seconds: float = 30.0) -> bytes | None:
    """Return the next bytes; b"" if the connection is closed, and None if nothing comes."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            try:
                return await asyncio.get_running_loop().sock_recv(client, 65536)
            except ConnectionError:
                return b""
    return None


async def closed_after(client: socket.socket, seconds: float = 60.0) -> str:
    """Wait until the server closes a connection, and return when it did."""
    began = time.perf_counter()
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while await received(client, seconds):
                pass
            return f"closed after {time.perf_counter() - began:.0f} s"
    return f"open after {seconds:.0f} s"
