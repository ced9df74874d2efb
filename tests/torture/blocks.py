"""Inputs in blocks. Several blocks run at a time, so that an input that waits for a time limit of the server holds up
none of the following ones."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from dataclasses import dataclass

from torture.part import Outcome

_BLOCKS_AT_ONCE = 4


@dataclass(frozen=True, slots=True)
class EndedBlock:
    """A block whose inputs have all been tried."""

    numbers: range
    outcomes: list[Outcome]
    """One for each number."""
    last: int
    """Last input that was started meanwhile: a fault of the server may come from any input up to it."""

    @property
    def suspects(self) -> str:
        """Range of the inputs that ran with this block or before its check."""
        return f"{self.numbers[0]}-{self.last}"


async def ended_blocks(
    blocks: Iterator[range], tried: Callable[[range], Awaitable[list[Outcome]]], *, one_by_one: bool
) -> AsyncGenerator[EndedBlock]:
    """Try blocks of inputs, and yield each one in its order. What still runs when the caller stops is cancelled.

    Args:
        blocks: the numbers of each block. The next one is taken when it can start.
        tried: tries a block.
        one_by_one: start a block when the one before it has ended and has been looked at.
    """
    running: deque[tuple[range, asyncio.Future[list[Outcome]]]] = deque()
    try:
        while True:
            while len(running) < (1 if one_by_one else _BLOCKS_AT_ONCE) and (numbers := next(blocks, None)):
                running.append((numbers, asyncio.ensure_future(tried(numbers))))
            if not running:
                return
            last = running[-1][0][-1]
            numbers, outcomes = running.popleft()
            yield EndedBlock(numbers, await outcomes, last)
    finally:
        left = [outcomes for _, outcomes in running]
        for outcomes in left:
            outcomes.cancel()
        await asyncio.gather(*left, return_exceptions=True)
