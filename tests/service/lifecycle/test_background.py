"""Work in a background thread."""

import asyncio
import threading

import pytest

from rerank_service.lifecycle.background import background_work_is_running, run_in_background


async def test_running_work_is_reported_until_it_finishes() -> None:
    """So that the process knows that it must not wait for native code."""
    release = threading.Event()
    work = run_in_background(release.wait)
    assert background_work_is_running()
    release.set()
    await work
    async with asyncio.timeout(10):
        while background_work_is_running():
            await asyncio.sleep(0)


async def test_an_exception_is_raised_where_the_future_is_awaited() -> None:
    """Even one that `except Exception` does not catch."""

    def fail() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await run_in_background(fail)
