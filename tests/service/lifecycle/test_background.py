"""Work in a background thread."""

import asyncio
import gc
import os
import sys
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from rerank_service.lifecycle.background import background_work_is_running, run_in_background
from rerank_service.rust_panics import RustPanic
from rerank_service.thread_priority import NICE
from support.panics import break_tokenizer
from support.small import write_small_model


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


class _Large:
    """Something that takes memory. It can be watched."""


async def test_the_thread_keeps_neither_the_work_nor_its_result(monkeypatch: pytest.MonkeyPatch) -> None:
    """A result may be a large model. Its memory must be free when the awaiting task has dropped it."""
    loop, may_end = asyncio.get_running_loop(), threading.Event()
    settle = loop.call_soon_threadsafe

    def settle_and_wait(call: Callable[[], None]) -> None:
        settle(call)
        may_end.wait()

    monkeypatch.setattr(loop, "call_soon_threadsafe", settle_and_wait)
    large = _Large()
    watched = weakref.ref(large)
    try:
        assert await run_in_background(partial(list, [large])) == [large]
        del large
        await asyncio.sleep(0)
        assert watched() is None
    finally:
        may_end.set()


async def test_failed_work_is_freed_without_the_garbage_collector() -> None:
    """Full collections are rare."""
    watched: list[weakref.ref[_Large]] = []

    def fail() -> None:
        large = _Large()
        watched.append(weakref.ref(large))
        raise RuntimeError("no memory")

    gc.disable()
    try:
        with suppress(RuntimeError):
            await run_in_background(fail)
        await asyncio.sleep(0)
        assert watched[0]() is None
    finally:
        gc.enable()


async def test_an_exception_is_raised_where_the_future_is_awaited() -> None:
    """Even one that `except Exception` does not catch."""

    def fail() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await run_in_background(fail)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a priority for each thread")
async def test_background_work_and_its_threads_give_way_to_the_event_loop() -> None:
    """OpenVINO computes on threads that it starts while a model loads."""

    def priority() -> int:
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    def work() -> tuple[int, int]:
        with ThreadPoolExecutor(1) as started:
            return priority(), started.submit(priority).result()

    before = priority()
    assert await run_in_background(work) == (min(before + NICE, 19),) * 2
    assert priority() == before


async def test_a_panic_of_a_tokenizer_is_an_exception(tmp_path: Path) -> None:
    """A load that fails by it does not end the server."""
    bundle = write_small_model(tmp_path / "small")
    break_tokenizer(bundle.tokenizer, at_load=True)
    with pytest.raises(RustPanic):
        await run_in_background(lambda: Tokenizer.from_file(str(bundle.tokenizer)))
