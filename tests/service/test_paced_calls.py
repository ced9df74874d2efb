"""Calls of which an event loop runs a few in each turn."""

import asyncio
import threading
from contextvars import ContextVar
from functools import partial

from rerank_service.paced_calls import PacedCalls

_name: ContextVar[str] = ContextVar("name", default="none")


async def _turns(ran: list[int], until: int) -> list[list[int]]:
    """Return what ran in each turn."""
    parts = []
    while (before := len(ran)) < until:
        await asyncio.sleep(0)
        parts.append(ran[before:])
    return [part for part in parts if part]


async def test_a_turn_runs_a_few_calls_in_their_order() -> None:
    """Also those that are added later, and by another thread."""
    ran: list[int] = []
    paced = PacedCalls(asyncio.get_running_loop(), 3)
    calls = [partial(ran.append, number) for number in range(7)]
    thread = threading.Thread(target=paced.add_threadsafe, args=(calls,))
    thread.start()
    thread.join()
    await asyncio.sleep(0)
    paced.add(partial(ran.append, 7))
    parts = await _turns(ran, 8)
    assert [number for part in parts for number in part] == ran == list(range(8))
    assert max(map(len, parts)) == 3
    paced.add(partial(ran.append, 8))
    assert await _turns(ran, 9) == [[8]]


async def test_an_error_goes_to_the_handler_and_the_next_call_runs() -> None:
    """Each call has the context in which it was added."""
    reported: list[object] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, report: reported.append(report["exception"]))
    seen: list[str] = []
    paced = PacedCalls(loop, 1)
    paced.add(lambda: 1 / 0)
    for name in ("a", "b"):
        _name.set(name)
        paced.add(lambda: seen.append(_name.get()))
    _name.set("later")
    while len(seen) < 2:
        await asyncio.sleep(0)
    assert seen == ["a", "b"]
    assert [type(error) for error in reported] == [ZeroDivisionError]


async def test_all_calls_can_run_at_once() -> None:
    """A model that ends does so. Later calls are paced again."""
    ran: list[int] = []
    paced = PacedCalls(asyncio.get_running_loop(), 2)
    for number in range(5):
        paced.add(partial(ran.append, number))
    paced.run_all()
    assert ran == list(range(5))
    paced.add(partial(ran.append, 5))
    assert await _turns(ran, 6) == [[5]]
