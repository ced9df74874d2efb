"""Messages of strangers: few are in memory at once, and each connection gets its turn."""

import asyncio
from collections.abc import AsyncGenerator

import grpc
import pytest

from rerank_service.api.grpc.bounded_messages import BoundedMessages, MessageRefused

_LARGE, _SMALL = 5_000, 10
_OPEN: list[AsyncGenerator[bytes, None]] = []
"""The calls of a test."""


class _Message(bytes):
    """A message that counts while it is in memory."""

    live = most = 0

    def __init__(self, *_: object) -> None:
        _Message.live += 1
        _Message.most = max(_Message.most, _Message.live)

    def __del__(self) -> None:
        _Message.live -= 1


class _Client:
    """Sends one message when a call asks for it: the server has inflated it then."""

    def __init__(self, size: int, *, sends: asyncio.Event) -> None:
        self._size = size
        self._sends = sends
        self.asked = False

    async def messages(self) -> AsyncGenerator[bytes, None]:
        """Yield the message, and keep it, as gRPC does."""
        self.asked = True
        message = _Message(self._size)
        await self._sends.wait()
        yield message


async def _code(messages: BoundedMessages, client: _Client, connection: str) -> grpc.StatusCode:
    """Return the status of a call that is still open after its message, as while its status is sent."""
    sent = client.messages()
    _OPEN.append(sent)
    try:
        assert await messages.next(sent, connection) is not None
    except MessageRefused as error:
        return error.refusal[0]
    return grpc.StatusCode.OK


@pytest.fixture(autouse=True)
def _no_call_is_open() -> None:
    _OPEN.clear()
    _Message.live = _Message.most = 0


async def test_few_inflated_messages_are_held_at_once() -> None:
    """Of 64 large ones, and an ordinary check of another connection is among the first that are answered."""
    messages, sends = BoundedMessages(60.0), asyncio.Event()
    bombs = [_Client(_LARGE, sends=sends) for _ in range(64)]
    calls = [asyncio.create_task(_code(messages, bomb, f"ipv4:1.1.1.1:{n % 2}")) for n, bomb in enumerate(bombs)]
    check = _Client(_SMALL, sends=sends)
    checking = asyncio.create_task(_code(messages, check, "ipv4:2.2.2.2:1"))
    await asyncio.sleep(0)  # all calls begin
    await asyncio.sleep(0)
    assert sum(bomb.asked for bomb in bombs) == 8
    sends.set()
    assert await checking is grpc.StatusCode.OK
    assert sum(bomb.asked for bomb in bombs) < 24
    assert set(await asyncio.gather(*calls)) == {grpc.StatusCode.INVALID_ARGUMENT}
    assert _Message.most <= 8 + 1  # and that of the check
    assert _Message.live == 1


async def test_silent_calls_make_room() -> None:
    """Four of them may wait for their message, the others end."""
    messages, never, now = BoundedMessages(60.0), asyncio.Event(), asyncio.Event()
    now.set()
    silent = [
        asyncio.create_task(_code(messages, _Client(_SMALL, sends=never), f"ipv4:1.1.1.1:{n}")) for n in range(20)
    ]
    await asyncio.sleep(0)  # all of them begin
    assert await _code(messages, _Client(_SMALL, sends=now), "ipv4:2.2.2.2:1") is grpc.StatusCode.OK
    refused = [call for call in silent if call.done()]
    assert len(refused) >= 8
    assert {call.result() for call in refused} == {grpc.StatusCode.RESOURCE_EXHAUSTED}
    for call in silent:
        call.cancel()
    await asyncio.wait(silent)


async def test_call_without_a_place_ends_in_time() -> None:
    """Its place comes too late if each of eight calls takes longer."""
    messages, sends = BoundedMessages(0.01), asyncio.Event()
    for _ in range(8):
        await messages._places.take("ipv4:1.1.1.1:1")
    assert await _code(messages, _Client(_SMALL, sends=sends), "ipv4:2.2.2.2:1") is grpc.StatusCode.RESOURCE_EXHAUSTED
