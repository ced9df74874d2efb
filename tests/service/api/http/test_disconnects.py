"""The work of a request and the end of its connection, in each order."""

import asyncio
import fcntl
import ssl
import sys
import termios
from collections.abc import Callable, MutableMapping
from pathlib import Path
from typing import Any

import pytest
import trustme
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from rerank_service.api.http.disconnects import until_disconnect
from rerank_service.api.http.server import RestEdge, listening
from rerank_service.api.tls.store import CertificateStore
from support.limits import rest_options
from support.network import CLOSED_SECONDS
from support.tls import write_pems

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


_POST = b"POST /work HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}"
_GET = b"GET /at-once HTTP/1.1\r\nhost: x\r\n\r\n"


class _Work:
    """An application. /at-once responds; the work of any other path ends with its client."""

    def __init__(self) -> None:
        self.begun, self.ended = asyncio.Event(), asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] != "/at-once":
            assert (await receive())["type"] == "http.request"
            self.begun.set()
            with pytest.raises(ClientDisconnect):
                await until_disconnect(receive, asyncio.Event().wait())
            self.ended.set()
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})


@pytest.mark.parametrize(
    ("sent", "later"),
    [
        (_POST, b""),
        (_POST + b"\r\n", b""),
        (_POST + _GET, b""),
        (_POST, _GET),
        (_POST + _GET, _GET * 100),
        (_GET + _POST + _GET, b""),
    ],
    ids=["nothing", "line break", "request", "later request", "many requests", "request before"],
)
async def test_pipelined_bytes_do_not_hide_the_end_of_the_connection(sent: bytes, later: bytes) -> None:
    """uvicorn stops reading when bytes of a next request wait."""
    work = _Work()
    async with listening(work, rest_options()) as edge:
        _, writer = await asyncio.open_connection("127.0.0.1", edge.port)
        writer.write(sent)
        async with asyncio.timeout(CLOSED_SECONDS):
            await work.begun.wait()
            writer.write(later)
            writer.close()
            await work.ended.wait()


async def test_pipelined_bytes_do_not_hide_the_end_of_tls(tmp_path: Path) -> None:
    """Its transport has a pause of its own."""
    pems = write_pems(tmp_path, trustme.CA())
    trusted = ssl.create_default_context(cafile=pems.ca)
    work = _Work()
    async with listening(work, rest_options(tls=CertificateStore(pems.files()))) as edge:
        _, writer = await asyncio.open_connection("localhost", edge.port, ssl=trusted)
        writer.write(_POST)
        async with asyncio.timeout(CLOSED_SECONDS):
            await work.begun.wait()
            writer.write(_GET)
            writer.close()
            await work.ended.wait()


async def test_few_bytes_of_next_requests_are_kept() -> None:
    """The rest waits in the kernel."""
    work = _Work()
    async with listening(work, rest_options()) as edge:
        _, writer = await asyncio.open_connection("127.0.0.1", edge.port)
        writer.write(_POST + _GET * 20_000)
        await work.begun.wait()
        connection = _only_connection(edge)
        while connection.transport.is_reading():
            await asyncio.sleep(0)
        assert 32 * 1024 <= len(connection.conn.trailing_data[0]) < 64 * 1024
        writer.transport.abort()


def _only_connection(edge: RestEdge) -> Any:
    (connection,) = edge._server.server_state.connections
    return connection


class _Held:
    """An application that responds after `go_on`."""

    def __init__(self) -> None:
        self.begun, self.go_on = asyncio.Event(), asyncio.Event()

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        assert (await receive())["type"] == "http.request"
        self.begun.set()
        await self.go_on.wait()
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})


@pytest.mark.parametrize(
    ("sent", "later", "responses"),
    [
        (_POST.replace(b"host: x", b"host: x\r\nconnection: close"), b"\r\n", 1),
        (_POST.replace(b"host: x", b"host: x\r\nconnection: close"), _GET, 1),
        (_POST.replace(b"1.1", b"1.0"), b"\r\n", 1),
        (_POST.replace(b"1.1", b"1.0"), b"not HTTP", 1),
        (_POST, b"\r\n", 1),
        (_POST + b"\r\n\n", _GET, 2),
        (b"\r\n" + _POST, b"", 1),
        (_POST, b"\r\n\r\n" + _GET, 2),
    ],
    ids=[
        "close, line",
        "close, request",
        "HTTP/1.0, line",
        "HTTP/1.0, garbage",
        "line",
        "lines at once, request",
        "line before",
        "lines, request",
    ],
)
async def test_bytes_that_no_request_can_have_are_ignored(sent: bytes, later: bytes, responses: int) -> None:
    """Empty lines before a request, and all bytes after the last one (RFC 9112, sections 2.2 and 9.6)."""
    held = _Held()
    async with listening(held, rest_options()) as edge, asyncio.timeout(CLOSED_SECONDS):
        reader, writer = await asyncio.open_connection("127.0.0.1", edge.port)
        writer.write(sent)
        await held.begun.wait()
        writer.write(later)
        [connection] = edge._server.server_state.connections
        await _until_read(connection)
        held.go_on.set()
        for _ in range(responses):
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 204")
        writer.close()


async def _until_read(connection: Any) -> None:
    """Wait until the server has read all that was sent before."""
    descriptor = connection.transport.get_extra_info("socket").fileno()
    while True:
        await asyncio.sleep(0.01)
        if not int.from_bytes(fcntl.ioctl(descriptor, termios.FIONREAD, bytes(4)), sys.byteorder):
            return
