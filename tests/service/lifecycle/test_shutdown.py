"""Signals during the start, and the end of a drain. tests/e2e/test_process.py covers the drain of a process."""

import asyncio
import signal

import pytest

from rerank_service.errors import BundleInvalid
from rerank_service.lifecycle import shutdown
from rerank_service.lifecycle.shutdown import ShutdownTimeouts, drain, run_unless_stopped, running_task
from support.running import Running


async def test_a_signal_ends_a_long_start() -> None:
    """The start is cancelled. It does not wait for the thread that reads gigabytes."""
    signals: asyncio.Queue[signal.Signals] = asyncio.Queue()
    never = asyncio.Event()

    async def load() -> None:
        signals.put_nowait(signal.SIGTERM)
        await never.wait()

    assert not await run_unless_stopped(load(), signals.get())


async def test_errors_of_the_start_are_passed_on() -> None:
    """The caller gets True, or the exception."""

    async def succeed() -> None:
        """Load nothing."""

    async def fail() -> None:
        raise BundleInvalid("no model")

    assert await run_unless_stopped(succeed(), asyncio.Queue().get())
    with pytest.raises(BundleInvalid, match="no model"):
        await run_unless_stopped(fail(), asyncio.Queue().get())


async def test_a_block_that_fails_cancels_the_task_beside_it() -> None:
    """A port may be in use while a model loads. Then the error is that of the port."""
    tasks = []
    with pytest.raises(OSError, match="in use"):
        async with running_task(asyncio.Event().wait()) as task:
            tasks.append(task)
            raise OSError("in use")
    assert tasks[0].cancelled()


async def test_an_error_of_the_task_is_raised_where_it_is_awaited() -> None:
    """The block goes on until then, and fails with that error."""

    async def fail() -> None:
        raise BundleInvalid("no model")

    steps = []
    with pytest.raises(BundleInvalid, match="no model"):
        async with running_task(fail()) as task:
            await asyncio.wait([task])
            steps.append("listening")
            await task
    assert steps == ["listening"]


class _Listener:
    """A server that only notes that it was stopped."""

    def __init__(self) -> None:
        self.stopped = asyncio.Event()

    async def stop(self, grace: float) -> None:
        """Stop at once."""
        self.stopped.set()


async def test_servers_listen_a_moment_longer_than_requests_run(core: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """Callers send their next request when they have a response. A second signal ends the moment."""
    monkeypatch.setattr(shutdown, "LAST_REJECTIONS_SECONDS", 1000.0)
    listener, signals = _Listener(), asyncio.Queue[signal.Signals]()
    draining = asyncio.create_task(drain(core.admissions, [listener], signals, ShutdownTimeouts(delay=0, grace=2000)))
    await core.admissions.drained()
    for _ in range(100):  # turns of the event loop
        await asyncio.sleep(0)
    assert not listener.stopped.is_set()
    signals.put_nowait(signal.SIGTERM)
    assert await draining == 0.0
    assert listener.stopped.is_set()


async def test_without_a_grace_period_servers_stop_at_once(core: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """The moment is a part of the grace period."""
    monkeypatch.setattr(shutdown, "LAST_REJECTIONS_SECONDS", 1000.0)
    listener, signals = _Listener(), asyncio.Queue[signal.Signals]()
    await drain(core.admissions, [listener], signals, ShutdownTimeouts(delay=0, grace=0))
    assert listener.stopped.is_set()
