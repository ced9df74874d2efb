"""Long work of the event loop: while it is done, everything else gets its turn.

- `in_steps`: for work that holds the interpreter's lock, where a thread would block the loop as well. orjson parses
  10 MB without a pause. The work is a generator that yields after each step of a few milliseconds.
- `in_thread`: for work in Python, such as building 10,000 results. The interpreter lets the loop have its lock every
  5 ms.

Rule: one step runs at each turn of the loop, and one call in a thread at a time, for all requests together. So the loop
is as free beside many large requests as beside one. Very large requests of REST and gRPC are parsed one after another
(`parsing_turn`).
"""

import asyncio
from collections.abc import Callable, Generator
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field
from typing import TypeVar
from weakref import WeakKeyDictionary

T = TypeVar("T")

MANY_ITEMS = 250
"""Number of documents or results from which a thread does the work. Below, it would cost more than it saves."""
_TURN_BYTES = 1024 * 1024
"""Size from which bodies and messages are parsed one after another."""


@dataclass(frozen=True, slots=True)
class _Turns:
    """Locks of one event loop. They are first in, first out."""

    step: asyncio.Lock = field(default_factory=asyncio.Lock)
    thread: asyncio.Lock = field(default_factory=asyncio.Lock)
    parsing: asyncio.Lock = field(default_factory=asyncio.Lock)


_BACKGROUND: set[asyncio.Task[None]] = set()
"""The tasks of `in_background`: an event loop holds weak references only."""
_TURNS: WeakKeyDictionary[asyncio.AbstractEventLoop, _Turns] = WeakKeyDictionary()


def _turns() -> _Turns:
    return _TURNS.setdefault(asyncio.get_running_loop(), _Turns())


async def in_steps(work: Generator[None, None, T]) -> T:
    """Run the steps of a generator, with a pause at each `yield`, and return its value."""
    turns = _turns()
    while True:
        async with turns.step:
            try:
                next(work)
            except StopIteration as end:
                value: T = end.value
                return value
            await asyncio.sleep(0)  # under the lock, so that no other step starts at this turn


def in_background(work: Generator[None, None, None]) -> None:
    """Start a task that runs the steps of a generator. The caller does not wait for it."""
    task = asyncio.create_task(in_steps(work))
    _BACKGROUND.add(task)
    task.add_done_callback(_BACKGROUND.discard)


def parsing_turn(size: int) -> AbstractAsyncContextManager[None]:
    """Return a block in which a body or message of that many bytes is parsed. One above 1 MiB waits for its turn, first
    in, first out.

    Values take up to 30 times the memory of their text. If 24 bodies of 10 MB were parsed at once, step by step, all of
    them would be in memory (7 GB), and all would be late.
    """
    return nullcontext() if size <= _TURN_BYTES else _turns().parsing


async def in_thread(call: Callable[[], T], items: int) -> T:
    """Return the result of a call that works on that many items: in a thread if they are many.

    The call must not change anything that the event loop uses.
    """
    if items < MANY_ITEMS:
        return call()
    turn = _turns().thread
    await turn.acquire()
    work = asyncio.create_task(asyncio.to_thread(call))
    work.add_done_callback(lambda _: turn.release())
    return await asyncio.shield(work)  # a thread goes on if its caller is cancelled, and keeps its turn
