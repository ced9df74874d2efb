"""Long work of the event loop, in steps: between two steps, everything else gets its turn.

Some work has to be done on the loop, or holds the interpreter's lock so long that a thread would block the loop as
well: orjson parses 10 MB without a pause. Such work is a generator that yields after each step of a few milliseconds.

Rule: at each turn of the loop one step runs, whichever request it is of. So a turn is as short beside many large
requests as beside one.
"""

import asyncio
from collections.abc import Generator, Iterable, Iterator
from itertools import islice
from typing import TypeVar
from weakref import WeakKeyDictionary

T = TypeVar("T")

_LOCKS: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = WeakKeyDictionary()


async def in_steps(work: Generator[None, None, T]) -> T:
    """Run the steps of a generator, with a pause at each `yield`, and return its value."""
    loop = asyncio.get_running_loop()
    turn = _LOCKS.setdefault(loop, asyncio.Lock())  # first in, first out
    while True:
        async with turn:
            try:
                next(work)
            except StopIteration as end:
                value: T = end.value
                return value
        await asyncio.sleep(0)


def slices(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Yield the items in lists of `size`; the last one may be shorter."""
    rest = iter(items)
    while part := list(islice(rest, size)):
        yield part
