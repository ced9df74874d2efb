"""Long work of the event loop: one step at each turn, one thread at a time."""

import asyncio
import threading
from collections.abc import Generator

import pytest

from rerank_service.long_work import MANY_ITEMS, in_steps, in_thread, parsing_turn


async def test_other_work_runs_between_two_steps() -> None:
    """Each turn of the loop runs one step. Several requests take turns."""
    order: list[str] = []

    def work(name: str) -> Generator[None, None, str]:
        for _ in range(3):
            order.append(name)
            yield
        return name

    async def beside() -> None:
        while len(order) < 6:
            order.append("-")
            await asyncio.sleep(0)
            assert len("".join(order).rpartition("-")[2]) <= 1, "two steps in one turn"

    first, second, _ = await asyncio.gather(in_steps(work("a")), in_steps(work("b")), beside())
    assert (first, second) == ("a", "b")
    assert "".join(order).replace("-", "") == "ababab"


async def test_many_items_are_worked_on_in_a_thread() -> None:
    """Few are not worth one. Only one thread works at a time, so that the loop competes with one."""
    here = threading.get_ident()
    assert await in_thread(threading.get_ident, MANY_ITEMS - 1) == here
    assert await in_thread(threading.get_ident, MANY_ITEMS) != here
    busy = threading.Lock()

    def alone() -> bool:
        if not busy.acquire(blocking=False):
            return False
        threading.Event().wait(0.01)
        busy.release()
        return True

    assert all(await asyncio.gather(*(in_thread(alone, MANY_ITEMS) for _ in range(4))))


async def test_thread_keeps_its_turn_when_its_caller_is_cancelled() -> None:
    """Else clients that go away could make many threads work at once."""
    begun, release, order = threading.Event(), threading.Event(), list[str]()

    def first() -> None:
        begun.set()
        release.wait(10)
        order.append("first")

    cancelled = asyncio.create_task(in_thread(first, MANY_ITEMS))
    while not begun.is_set():
        await asyncio.sleep(0)
    cancelled.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    second = asyncio.create_task(in_thread(lambda: order.append("second"), MANY_ITEMS))
    await asyncio.sleep(0)
    release.set()
    await second
    assert order == ["first", "second"]


async def test_very_large_bodies_take_turns() -> None:
    """So at most one of them is in memory half parsed. A smaller one does not wait."""
    order, end = list[str](), asyncio.Event()

    async def parse(name: str, size: int) -> None:
        async with parsing_turn(size):
            order.append(name)
            await end.wait()

    tasks = [asyncio.create_task(parse(name, 10**7)) for name in ("first", "cancelled", "second")]
    await _begun(order, 1)
    small = asyncio.create_task(parse("small", 10**6))
    await _begun(order, 2)
    tasks[1].cancel()
    await asyncio.wait([tasks[1]])
    assert order == ["first", "small"]
    end.set()
    await asyncio.gather(tasks[0], tasks[2], small)
    assert order == ["first", "small", "second"]


async def _begun(order: list[str], count: int) -> None:
    """Wait until so many bodies have their turn."""
    while len(order) < count:
        await asyncio.sleep(0)
