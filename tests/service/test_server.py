"""Parts of the composition root that need no process."""

import asyncio
import signal
import threading

import pytest

from rerank_service.errors import BundleInvalid
from rerank_service.server import _unless_stopped


async def test_a_signal_ends_a_start_that_takes_long() -> None:
    """Gigabytes are read in a thread that the process does not wait for."""
    stop: asyncio.Queue[signal.Signals] = asyncio.Queue()
    release = threading.Event()
    loading = asyncio.create_task(_unless_stopped(stop, release.wait))
    await asyncio.sleep(0)
    stop.put_nowait(signal.SIGTERM)
    assert await loading is None
    release.set()


async def test_what_is_loaded_or_goes_wrong_comes_through() -> None:
    """As if it had been called here."""

    def fail() -> None:
        raise BundleInvalid("no model")

    assert await _unless_stopped(asyncio.Queue(), lambda: 7) == 7
    with pytest.raises(BundleInvalid, match="no model"):
        await _unless_stopped(asyncio.Queue(), fail)
