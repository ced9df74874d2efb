"""Signals during the start. tests/e2e/test_process.py covers the drain of a process."""

import asyncio
import signal
import threading

import pytest

from rerank_service.errors import BundleInvalid
from rerank_service.lifecycle.shutdown import run_unless_stopped


async def test_a_signal_ends_a_long_start() -> None:
    """The start does not wait for the thread that reads gigabytes."""
    signals: asyncio.Queue[signal.Signals] = asyncio.Queue()
    release = threading.Event()
    loading = asyncio.create_task(run_unless_stopped(release.wait, signals))
    await asyncio.sleep(0)
    signals.put_nowait(signal.SIGTERM)
    assert await loading is None
    release.set()


async def test_results_and_errors_of_the_start_are_passed_on() -> None:
    """The caller gets the result, or the exception."""

    def fail() -> None:
        raise BundleInvalid("no model")

    assert await run_unless_stopped(lambda: 7, asyncio.Queue()) == 7
    with pytest.raises(BundleInvalid, match="no model"):
        await run_unless_stopped(fail, asyncio.Queue())
