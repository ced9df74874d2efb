"""The work of a request and the end of its connection, in each order."""

import asyncio
from collections.abc import Callable, MutableMapping
from typing import Any

import pytest
from starlette.requests import ClientDisconnect

from rerank_service.api.http.disconnects import until_disconnect

_LATEST = 6
"""Turns of the event loop after which a disconnect has ended the work."""


class _Connection:
    """A connection that the test closes. Before that, the client sends a further message, of no use."""

    def __init__(self) -> None:
        self._sent: asyncio.Queue[str] = asyncio.Queue()
        self._sent.put_nowait("http.request")

    async def receive(self) -> MutableMapping[str, Any]:
        return {"type": await self._sent.get()}

    def close(self) -> None:
        self._sent.put_nowait("http.disconnect")


async def _turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def _result_after(turns: int) -> str:
    await _turns(turns)
    return "result"


async def _nothing_is_left() -> bool:
    """Return whether no task runs on, after the turn in which cancelled ones end."""
    await asyncio.sleep(0)
    return asyncio.all_tasks() == {asyncio.current_task()}


def _cancellations() -> int:
    task = asyncio.current_task()
    assert task is not None
    return task.cancelling()


async def test_result_is_returned() -> None:
    """Also one that is there at once."""
    for turns in (0, 1, _LATEST):
        assert await until_disconnect(_Connection().receive, _result_after(turns)) == "result"
        assert await _nothing_is_left()


async def test_disconnect_cancels_the_work() -> None:
    """It has cleaned up when the caller goes on, and the caller is not cancelled."""
    connection = _Connection()
    cleaned = False

    async def work() -> None:
        nonlocal cleaned
        connection.close()
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            await asyncio.sleep(0)
            cleaned = True

    with pytest.raises(ClientDisconnect):
        await until_disconnect(connection.receive, work())
    assert (cleaned, _cancellations(), await _nothing_is_left()) == (True, 0, True)


@pytest.mark.parametrize("turns", range(-_LATEST, _LATEST + 1))
async def test_disconnect_about_the_time_of_the_result(turns: int) -> None:
    """The caller gets one of both, and is not cancelled later."""
    connection = _Connection()
    result: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def end() -> None:
        if not result.done():
            result.set_result("result")

    async def happen() -> None:
        await _turns(_LATEST)
        events: list[Callable[[], None]] = [connection.close, end]
        for event in events if turns >= 0 else reversed(events):
            event()
            await _turns(abs(turns))

    async def wait() -> str:
        return await result

    happening = asyncio.create_task(happen())
    try:
        outcome = await until_disconnect(connection.receive, wait())
    except ClientDisconnect:
        outcome = "disconnect"
    await happening
    await _turns(_LATEST)
    assert outcome == "result" or turns > 0
    assert outcome == "disconnect" or turns < _LATEST
    assert (_cancellations(), await _nothing_is_left()) == (0, True)


@pytest.mark.parametrize("turns", range(-_LATEST, _LATEST + 1))
async def test_cancellation_about_the_time_of_a_disconnect(turns: int) -> None:
    """A task that was cancelled before its end is cancelled: nobody takes that for a disconnect."""
    connection = _Connection()
    task = asyncio.create_task(until_disconnect(connection.receive, asyncio.Event().wait()))
    await _turns(_LATEST)
    was_running: list[bool] = []
    events: list[Callable[[], object]] = [connection.close, lambda: was_running.append(task.cancel())]
    for event in events if turns >= 0 else reversed(events):
        event()
        await _turns(abs(turns))
    await asyncio.wait([task])
    assert [task.cancelled()] == was_running
    assert task.cancelled() or isinstance(task.exception(), ClientDisconnect)
    assert await _nothing_is_left()


@pytest.mark.parametrize("error", [TimeoutError, ValueError, asyncio.CancelledError])
async def test_error_of_the_work_is_raised(error: type[BaseException]) -> None:
    """A timeout, too: it is no disconnect."""

    async def fail() -> None:
        await asyncio.sleep(0)
        raise error

    with pytest.raises(error):
        await until_disconnect(_Connection().receive, fail())
    assert await _nothing_is_left()


async def test_work_that_ends_in_spite_of_the_disconnect_has_its_result() -> None:
    """The caller is not cancelled later."""
    connection = _Connection()

    async def work() -> str:
        connection.close()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "result"
        raise AssertionError("unreachable: nobody sets the event")

    assert await until_disconnect(connection.receive, work()) == "result"
    assert (_cancellations(), await _nothing_is_left()) == (0, True)


async def test_fault_of_the_connection_does_not_end_the_work() -> None:
    """Nobody knows then whether the client is gone."""

    async def receive() -> MutableMapping[str, Any]:
        raise OSError

    assert await until_disconnect(receive, _result_after(_LATEST)) == "result"
    assert await _nothing_is_left()
