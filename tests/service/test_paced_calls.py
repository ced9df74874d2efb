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
    """Also those that are added later."""
    ran: list[int] = []
    paced = PacedCalls(asyncio.get_running_loop(), 3)
    for number in range(7):
        paced.add(partial(ran.append, number))
    assert ran == []
    await asyncio.sleep(0)
    assert ran == [0, 1, 2]
    paced.add(partial(ran.append, 7))
    assert await _turns(ran, 8) == [[3, 4, 5], [6, 7]]
    paced.add(partial(ran.append, 8))
    assert await _turns(ran, 9) == [[8]]


async def test_calls_of_a_thread_run_at_once() -> None:
    """As many as the turn has room for: not in the turn after the one in which the loop wakes up."""
    ran: list[int] = []
    paced = PacedCalls(asyncio.get_running_loop(), 3)
    _add_in_thread(paced, ran, range(2))
    await asyncio.sleep(0)
    assert ran == [0, 1]
    await asyncio.sleep(0)
    _add_in_thread(paced, ran, range(2, 7))
    await asyncio.sleep(0)
    assert ran == [0, 1, 2, 3, 4]
    assert await _turns(ran, 7) == [[5, 6]]


async def test_calls_after_a_burst_run_at_once() -> None:
    """The places that the burst took are free again after a turn, also if no call waits then."""
    ran: list[int] = []
    paced = PacedCalls(asyncio.get_running_loop(), 3)
    _add_in_thread(paced, ran, range(6))
    assert await _turns(ran, 6) == [[0, 1, 2], [3, 4, 5]]
    await asyncio.sleep(0)
    _add_in_thread(paced, ran, range(6, 8))
    await asyncio.sleep(0)
    assert ran[6:] == [6, 7]


async def test_calls_of_several_threads_share_the_places_of_a_turn() -> None:
    """Those that arrive in a turn with other calls may wait for the next one."""
    ran: list[int] = []
    paced = PacedCalls(asyncio.get_running_loop(), 3)
    _add_in_thread(paced, ran, range(2))
    _add_in_thread(paced, ran, range(2, 5))
    assert await _turns(ran, 5) == [[0, 1], [2, 3, 4]]
    paced.add(partial(ran.append, 5))
    _add_in_thread(paced, ran, range(6, 9))
    assert await _turns(ran, 9) == [[5], [6, 7, 8]]


def _add_in_thread(paced: PacedCalls, ran: list[int], numbers: range) -> None:
    """Let a thread add calls."""
    thread = threading.Thread(target=paced.add_threadsafe, args=([partial(ran.append, number) for number in numbers],))
    thread.start()
    thread.join()


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
