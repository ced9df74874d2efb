"""Turns of the event loop above the bound, and their cause."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from torture.load.readings import MAX_LOOP_SECONDS, Readings, readings
from torture.load.stolen_time import stolen_time

_MOST = f"{MAX_LOOP_SECONDS * 1000:.0f} ms"
_PERIOD_SECONDS = 2.0
_MIN_STOLEN_SECONDS = 0.03
"""A turn of 20 ms takes more than 50 ms if the hypervisor takes the CPU for that long meanwhile."""
_MARGIN_SECONDS = 0.5
"""A reading is older than its response. What happens in between belongs to the next period, too."""


@dataclass(slots=True)
class LongTurns:
    """Turns above MAX_LOOP_SECONDS."""

    stolen: float = 0
    """Turns of periods in which the hypervisor took a CPU for at least 30 ms."""
    others: float = 0
    """Turns that count against the server."""
    computed: float = 0
    """Turns with more CPU time than the bound. They are among the others."""

    def add(self, since: Readings, stolen_seconds: float) -> None:
        """Count the turns of a period. `stolen_seconds` is the most that one CPU lost at once."""
        self.computed += since.long_cpu_turns
        if stolen_seconds >= _MIN_STOLEN_SECONDS and not since.long_cpu_turns:
            self.stolen += since.long_turns
        else:
            self.others += since.long_turns

    def facts(self) -> dict[str, float]:
        """Return the figures by their names."""
        return {
            f"turns above {_MOST}": self.stolen + self.others,
            "of them, CPU taken by the hypervisor": self.stolen,
            f"of them, more than {_MOST} of CPU time": self.computed,
        }

    def problems(self) -> list[str]:
        """Return a line if turns count against the server."""
        if not self.others:
            return []
        return [f"{self.others:.0f} turns of the event loop took more than {_MOST}, {self.computed:.0f} by CPU time"]


@asynccontextmanager
async def long_turns(url: str) -> AsyncIterator[LongTurns]:
    """Count the long turns of a server while the block runs."""
    turns = LongTurns()
    ended = asyncio.Event()

    async def read() -> None:
        before, since = await readings(url), time.monotonic()
        while not ended.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(ended.wait(), _PERIOD_SECONDS)
            now, moment = await readings(url), time.monotonic()
            turns.add(now.since(before), stolen.longest(since - _MARGIN_SECONDS))
            before, since = now, moment

    async with stolen_time() as stolen, asyncio.TaskGroup() as group:
        group.create_task(read())
        yield turns
        ended.set()
