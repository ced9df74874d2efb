"""Threads that several groups share in turn."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest

from rerank_service.scheduling.fair_threads import FairThreads
from rerank_service.scheduling.stoppable import check_stopped


class Held:
    """Blocking calls that a test holds, and the order in which they started."""

    def __init__(self) -> None:
        self.started: list[str] = []
        self._may_end: dict[str, threading.Event] = {}
        self._all_may_end = False

    async def run(self, threads: FairThreads, group: str, name: str) -> str:
        """Run a call."""
        may_end = self._may_end.setdefault(name, threading.Event())
        if self._all_may_end:
            may_end.set()

        def call() -> str:
            self.started.append(name)
            may_end.wait()
            return name

        return await threads.run(group, call)

    def release(self, name: str) -> None:
        """Let a call end."""
        self._may_end[name].set()

    def release_all(self) -> None:
        """Let all calls end, and those that start later."""
        self._all_may_end = True
        for may_end in self._may_end.values():
            may_end.set()


@asynccontextmanager
async def holding(count: int) -> AsyncIterator[tuple[FairThreads, Held]]:
    """Return threads, and the calls that they run. The end of the block releases the calls."""
    held = Held()
    with FairThreads(count, "test") as threads:
        try:
            yield threads, held
        finally:
            held.release_all()


async def until_started(held: Held, count: int) -> None:
    """Wait until that many calls have started."""
    while len(held.started) < count:
        await asyncio.sleep(0)


async def test_a_group_without_a_running_call_does_not_wait() -> None:
    """However many calls of another group run or wait. Its second call waits."""
    async with holding(2) as (threads, held):
        tasks = [asyncio.create_task(held.run(threads, "a", f"a{number}")) for number in range(5)]
        await until_started(held, 2)
        tasks += [asyncio.create_task(held.run(threads, "b", f"b{number}")) for number in range(2)]
        await until_started(held, 3)
        for _ in range(20):  # turns of the event loop, in which another call would start
            await asyncio.sleep(0)
        assert sorted(held.started) == ["a0", "a1", "b0"]
        held.release_all()
        assert await asyncio.gather(*tasks) == ["a0", "a1", "a2", "a3", "a4", "b0", "b1"]


async def test_groups_take_turns() -> None:
    """The calls of one group start in order, and each free thread goes to the group that has waited longest."""
    running, waiting = ["a0", "b0", "x0", "x1"], ["a1", "a2", "a3", "b1", "b2"]
    async with holding(len(running)) as (threads, held):
        tasks = [asyncio.create_task(held.run(threads, name[0], name)) for name in (*running, *waiting)]
        await until_started(held, len(running))
        order = []
        for number, ended in enumerate(("x0", "x1", "a0", "b0", "a1"), len(running) + 1):
            held.release(ended)
            await until_started(held, number)
            order.append(held.started[-1])
        held.release_all()
        await asyncio.gather(*tasks)
    assert sorted(held.started[: len(running)]) == running
    assert order == ["a1", "b1", "a2", "b2", "a3"]


async def test_all_threads_are_used() -> None:
    """One group alone gets every thread."""
    async with holding(2) as (threads, held):
        tasks = [asyncio.create_task(held.run(threads, "a", name)) for name in ("1", "2", "3")]
        await until_started(held, 2)
        assert len(held.started) == 2
        held.release_all()
        assert await asyncio.gather(*tasks) == ["1", "2", "3"]


async def test_cancelled_calls_do_not_run_and_threads_are_not_lost() -> None:
    """A waiting call that is cancelled gives up its turn; a running one keeps its thread until it ends."""
    async with holding(1) as (threads, held):
        running, waiting, last = [asyncio.create_task(held.run(threads, "a", name)) for name in ("1", "2", "3")]
        await until_started(held, 1)
        waiting.cancel()
        running.cancel()
        await asyncio.wait([running, waiting])
        for _ in range(20):  # turns of the event loop, in which a lost thread would start the next call
            await asyncio.sleep(0)
        assert held.started == ["1"]
        held.release_all()
        assert await last == "3"
        assert await held.run(threads, "b", "4") == "4"
    assert held.started == ["1", "3", "4"]


async def test_a_cancelled_call_that_no_thread_has_started_gives_up_its_place() -> None:
    """There may be more groups than threads."""
    async with holding(1) as (threads, held):
        groups = [f"group {number}" for number in range(17)]
        tasks = [asyncio.create_task(held.run(threads, group, group)) for group in groups]
        await until_started(held, len(groups))
        cancelled = asyncio.create_task(held.run(threads, "last", "cancelled"))
        await asyncio.sleep(0)
        cancelled.cancel()
        await asyncio.wait([cancelled])
        await asyncio.sleep(0)  # the turn of the event loop that gives the place back
        last = asyncio.create_task(held.run(threads, "last", "last"))
        await asyncio.sleep(0)
        assert not threads._waiting  # it waits for a thread, not for its turn
        held.release_all()
        assert await asyncio.gather(last, *tasks) == ["last", *groups]
    assert "cancelled" not in held.started


async def test_a_call_wakes_the_event_loop_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each time costs about as much as all else of a short call. An error is no exception."""
    loop = asyncio.get_running_loop()
    wake, woken = loop.call_soon_threadsafe, 0

    def count(*args: Any) -> asyncio.Handle:
        nonlocal woken
        woken += 1
        return wake(*args)

    with FairThreads(1, "test") as threads:
        monkeypatch.setattr(loop, "call_soon_threadsafe", count)
        assert await threads.run("a", lambda: 1) == 1
        assert woken == 1
        with pytest.raises(ZeroDivisionError):
            await threads.run("a", lambda: 1 / 0)
        assert woken == 2


async def test_errors_reach_the_caller() -> None:
    """The thread runs the next call."""

    def fail() -> None:
        raise ValueError("no")

    with FairThreads(1, "test") as threads:
        with pytest.raises(ValueError, match="no"):
            await threads.run("a", fail)
        assert await threads.run("a", lambda: 1) == 1


async def test_cancelled_caller_stops_its_call() -> None:
    """Otherwise the end of the block would wait for the call without end."""
    begun = threading.Event()

    def endless() -> None:
        while True:
            begun.set()
            check_stopped()

    with FairThreads(1, "test") as threads:
        task = asyncio.create_task(threads.run("a", endless))
        while not begun.is_set():
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_no_thread_starts_for_a_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """The system may have no memory for it."""
    with FairThreads(1, "test") as threads:

        def refuse(_: threading.Thread) -> None:
            raise RuntimeError("can't start new thread")

        monkeypatch.setattr(threading.Thread, "start", refuse)
        calls = (threads.run(group, partial(str.upper, group)) for group in "abcde")
        assert await asyncio.gather(*calls) == list("ABCDE")
