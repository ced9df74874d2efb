"""An input of bytes for a socket: the steps of a client, with pauses, and the end of the connection."""

import asyncio
import socket
import struct
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

SECONDS = 90.0
"""Time in which the server must answer an input, or close its connection. Its deadline of a request is 60 s."""
_PART_BYTES = 256 * 1024
_LINGER_RESET = struct.pack("ii", 1, 0)


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a client."""

    data: bytes = b""
    times: int = 1
    """Number of times that the data is sent, so that a file can hold a large input."""
    pause: float = 0.0
    """Seconds to wait after the data."""
    end: bool = False
    """Close the sending half of the connection."""
    reset: bool = False
    """Reset the connection."""

    def as_json(self) -> dict[str, Any]:
        """Return the step as JSON, without values that are defaults."""
        fields = {"data": self.data.decode("latin-1"), "times": self.times, "pause": self.pause}
        fields |= {"end": self.end, "reset": self.reset}
        defaults = {"data": "", "times": 1, "pause": 0.0, "end": False, "reset": False}
        return {name: value for name, value in fields.items() if value != defaults[name]}


def step_of(content: dict[str, Any]) -> Step:
    """Return the step of `Step.as_json`."""
    return Step(**{**content, "data": content.get("data", "").encode("latin-1")})


@dataclass(frozen=True, slots=True)
class Received:
    """The end of a conversation."""

    closed: bool
    """False if the time was up: the server had neither closed the connection nor answered."""
    unsent: bool
    """True if the server closed before all was sent."""


async def converse(address: tuple[str, int], steps: Iterable[Step], feed: Callable[[bytes], bool]) -> Received:
    """Open a connection, take the steps, and read until the server closes, or for 90 s. `feed` takes each part that
    arrives, and returns True if there is nothing more to wait for.

    Raises:
        OSError: the server does not accept the connection.
    """
    with socket.socket() as client:
        client.setblocking(False)
        await asyncio.get_running_loop().sock_connect(client, address)
        sending = asyncio.create_task(_send(client, steps))
        closed = False
        try:
            async with asyncio.timeout(SECONDS):
                closed = await _receive(client, feed)
        except TimeoutError:
            pass
        finally:
            unsent = not sending.done() or sending.result()
            sending.cancel()
            await asyncio.wait([sending])
        return Received(closed, unsent)


async def _receive(client: socket.socket, feed: Callable[[bytes], bool]) -> bool:
    """Read. A server that closes with unread bytes resets the connection: a stream of asyncio would lose what came
    before."""
    loop = asyncio.get_running_loop()
    with suppress(ConnectionError):
        while part := await loop.sock_recv(client, _PART_BYTES):
            if feed(part):
                break
    return True


async def _send(client: socket.socket, steps: Iterable[Step]) -> bool:
    """Take the steps. Return True if the server closed before their end."""
    loop = asyncio.get_running_loop()
    try:
        for step in steps:
            whole = step.data * step.times
            for start in range(0, len(whole), _PART_BYTES):
                await loop.sock_sendall(client, whole[start : start + _PART_BYTES])
            if step.pause:
                await asyncio.sleep(step.pause)
            if step.end:
                client.shutdown(socket.SHUT_WR)
            if step.reset:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_RESET)
                client.shutdown(socket.SHUT_RDWR)
    except OSError:
        return True
    return False
