"""Signals during the start. tests/e2e/test_process.py covers the drain of a process."""

import asyncio
import signal

import pytest

from rerank_service.errors import BundleInvalid
from rerank_service.lifecycle.shutdown import run_unless_stopped


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
